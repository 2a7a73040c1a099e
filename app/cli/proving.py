"""How `submit` proves an age: by a pass, a counsellor's attestation, a token, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from app.cli.showing import FAILED, stop

PATIENCE = 1800.0  # seconds for which a counsellor's attestation is waited for
_FILE = click.Path(path_type=Path, dir_okay=False)


def proof_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of which at most one says how the age is proved."""
    for option in (
        click.option("--years", type=int, default=15, show_default=True, help="Told to --broker."),
        click.option(
            "--wait",
            type=click.FloatRange(min=0),
            default=0,
            help="With --broker: send after a random time of up to this many minutes, so that the "
            "broker's times and ours say less of who reported.",
        ),
        click.option("--broker", help="Address of a development age broker: a fresh pass."),
        click.option("--pass-file", type=_FILE, help="Passes of `fetch-passes`; one is used up."),
        click.option(
            "--attestation",
            type=_FILE,
            help="Where a counsellor's attestation will be put; the code for it is shown first.",
        ),
        click.option("--issuer", help="Address of an age issuer (jwt-age-v1)."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Proof:
    """The way chosen; the age is only declared if there is none."""

    issuer: str | None
    attestation: Path | None
    pass_file: Path | None
    broker: str | None
    years: int
    wait: float

    def __post_init__(self) -> None:
        ways = (self.issuer, self.attestation, self.pass_file, self.broker)
        if sum(way is not None for way in ways) > 1:
            raise click.UsageError("give one of --issuer, --attestation, --pass-file, --broker")
        if self.wait and self.broker is None:
            raise click.UsageError("--wait goes with --broker")

    @property
    def profile(self) -> str:
        """The profile that the report names."""
        if self.issuer is not None:
            return "jwt-age-v1"
        if self.attestation is not None:
            return "counsellor-attested-v1"
        return "pp-under18-v1" if self._shows_pass else "declared-v1"

    @property
    def _shows_pass(self) -> bool:
        return self.pass_file is not None or self.broker is not None

    @contextmanager
    def headers(
        self, challenge: Mapping[str, Any], url: str, band: str, body: bytes, as_json: bool
    ) -> Iterator[dict[str, str]]:
        """The headers for the block that sends this body; ends the command if there are none."""
        from app.client.privacy_pass import NoPass
        from app.client.shown_pass import shown

        if self.issuer is not None:
            yield _token(self.issuer, challenge, url, band, body, as_json)
        elif self.attestation is not None:
            yield _attested(self.attestation, body, as_json)
        elif self._shows_pass:
            try:
                if self.wait:
                    click.echo(f"Sending within the next {self.wait:g} minutes.", err=True)
                pass_or_broker = (self.pass_file, self.broker, self.years, 60 * self.wait)
                with shown(challenge, *pass_or_broker) as headers:
                    yield headers
            except NoPass as fault:
                stop(FAILED, f"no pass: {fault}", as_json, code=str(fault.why))
        else:
            yield {}


def _attested(file: Path, body: bytes, as_json: bool) -> dict[str, str]:
    from app.client.attested import NoAttestation, headers, request_code, wait_for

    click.echo(f"Read this code to the counsellor: {request_code(body)}", err=True)
    try:
        return headers(wait_for(file, PATIENCE))
    except NoAttestation as fault:
        stop(FAILED, str(fault), as_json)


def _token(
    issuer: str, challenge: Mapping[str, Any], url: str, band: str, body: bytes, as_json: bool
) -> dict[str, str]:
    from app.client.age import NoToken, headers

    asked = next((p for p in challenge["profiles"] if p["profile"] == "jwt-age-v1"), None)
    if asked is None or not asked["issuers"]:
        stop(FAILED, "the service takes no age tokens", as_json)
    claim = "was_under_18_at" if band == "was_under_18" else "age_under_18"
    wish = {"nonce": asked["nonce"], "audience": asked["issuers"][0]["audience"], "claim": claim}
    try:
        return headers(issuer, wish, "POST", f"{url.rstrip('/')}/v1/reports", body)
    except NoToken as fault:
        stop(FAILED, f"no age token: {fault}", as_json)
