"""Proof of age: a counsellor's key and word, and an operator's look at the issuer file."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from app.cli.showing import FAILED, UNUSABLE, give, json_option, stop

_PLAIN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")  # no quote or backslash: it goes into TOML


@click.group()
def age() -> None:
    """Proof of age: staff keys, attestations, the issuer file (docs/AGE.md)."""


@age.command("staff-key")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--helpline", required=True, help="The helpline's id, as in every entry of it.")
@click.option("--audience", required=True, help="The service vouched to; a neutral name.")
@click.option("--staff", required=True, help="The seat: a number, never a name.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 730))
@json_option
def staff_key(
    file: Path, helpline: str, audience: str, staff: str, days: int, as_json: bool
) -> None:
    """Make a counsellor's key and print the issuer file's entry for it.

    FILE is made for its owner alone and stays with the counsellor. It is never overwritten.
    """
    from app.client.attested import StaffKey

    for name, value in (("helpline", helpline), ("audience", audience), ("staff", staff)):
        if not _PLAIN.fullmatch(value):
            raise click.BadParameter("1 to 255 visible ASCII characters", param_hint=f"--{name}")
    key = StaffKey(helpline, audience)
    try:
        key.write(file)
    except FileExistsError:
        stop(FAILED, f"{file} is there already", as_json)
    except OSError as fault:
        stop(FAILED, f"{file} cannot be made: {fault.strerror}", as_json)
    entry = _entry(key.jwk(), helpline, audience, staff, days)
    give(as_json, {"file": str(file), "kid": key.jwk()["kid"], "entry": entry}, entry)


@age.command("attest")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("code", nargs=-1)
@click.option("--was", is_flag=True, help="An adult now, under 18 in the image.")
@json_option
def attest(file: Path, code: tuple[str, ...], was: bool, as_json: bool) -> None:
    """Vouch for the report of a request code, and print the attestation.

    FILE is the counsellor's key. CODE is what the young person's device shows, in one word or in
    its groups; asked for if it is not given.
    """
    from app.client.attested import CLAIMS, BadRequestCode, BadStaffKey, StaffKey

    try:
        key = StaffKey.read(file)
    except BadStaffKey as fault:
        stop(UNUSABLE, f"{file}: {fault}", as_json)
    heard = " ".join(code) or str(click.prompt("Request code", err=True))
    try:
        attestation = key.attest(heard, CLAIMS[was], int(time.time()))
    except BadRequestCode as fault:
        stop(FAILED, f"the request code: {fault}", as_json)
    give(as_json, {"attestation": attestation}, attestation)


@age.group("issuers")
def issuers() -> None:
    """The file of trusted issuers."""


@issuers.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check(file: Path, as_json: bool) -> None:
    """Say everything that is wrong with an issuer file, before the service reads it."""
    from app.bootstrap import StartRefused, check_issuers

    try:
        count = check_issuers(file)
    except StartRefused as fault:
        stop(UNUSABLE, "\n".join(_faults(file, fault.problems)), as_json, problems=fault.problems)
    give(as_json, {"issuers": count}, f"{file} is in order: {count} issuer(s).")


def _faults(file: Path, problems: list[str]) -> list[str]:
    return [f"{file} cannot be used:", *(f"  {problem}" for problem in problems)]


def _entry(jwk: dict[str, Any], helpline: str, audience: str, staff: str, days: int) -> str:
    begins = datetime.now(UTC).replace(microsecond=0)
    ends = begins + timedelta(days=days)
    return f"""# For the issuer file, which begins with the line: format = 1

[[issuer]]
profile = "counsellor-attested-v1"
id = "{helpline}"
audience = "{audience}"
staff = "{staff}"
alg = "Ed25519"
basis = "counsellor_attested"
valid_from_at = {begins:%Y-%m-%dT%H:%M:%SZ}
valid_until_at = {ends:%Y-%m-%dT%H:%M:%SZ}

[[issuer.keys]]
kid = "{jwk["kid"]}"
kty = "OKP"
crv = "Ed25519"
x = "{jwk["x"]}"
"""
