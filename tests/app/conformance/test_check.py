"""The check finds each fault of a sloppy platform, and none with the one to copy from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk
from werkzeug.serving import WSGIRequestHandler, make_server

from app.cli.check import write_enrolment
from app.conformance.contract import SAYS, Requirement, Verdict
from app.conformance.play import NoAnswer, check
from app.conformance.service import Check, service_for
from infra.sandbox.platform import WEBHOOK, Forged, Gallery, Platform, create_app
from infra.sandbox.sloppy import Sin, Sloppy
from partners.errors import EndpointRefused, KeySetRefused
from partners.model import SigningScheme
from tests.partners.platforms import refusing_port

ROOT = Path(__file__).parents[3]


def quick(url: str, **more: Any) -> Check:
    return Check(url, **{"answer_within": 2.5, "patience": 5.0, "quiet": 0.3, **more})


# joserfc warns of the name that RFC 7515 libraries know Ed25519 by.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


class Silent(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing is printed."""

    def connection_dropped(self, error: BaseException, environ: object = None) -> None:
        self.close_connection = True


@contextmanager
def serving(platform: Platform) -> Iterator[str]:
    """The platform's webhook."""
    threading.Thread(target=platform.work, daemon=True).start()
    app = create_app(platform)
    app.config["PROPAGATE_EXCEPTIONS"] = True  # a broken connection is one, not an answer
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{WEBHOOK}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def checked(
    folder: Path, platform: Platform, scheme: str = "v1a", **more: Any
) -> dict[Requirement, Verdict]:
    """What the check says of it, by requirement."""
    own = platform.own_keys
    jwks = json.dumps(own.as_dict(private=False)) if own else None
    with serving(platform) as url:
        asked = quick(url, scheme=SigningScheme(scheme), jwks=jwks, **more)
        with service_for(asked) as service:
            write_enrolment(folder / "enrolment.json", service.enrolment(), overwrite=False)
            verdicts = list(check(service))
    assert len(verdicts) == len({v.requirement for v in verdicts}) == len(Requirement)
    return {verdict.requirement: verdict for verdict in verdicts}


def a_platform(folder: Path, *, sealed: bool = True) -> Platform:
    return Platform("A", Gallery(folder), folder / "enrolment.json", own_keys() if sealed else None)


def own_keys() -> jwk.KeySet:
    return jwk.KeySet([jwk.OKPKey.generate_key("X25519", auto_kid=True)])


def broken(verdicts: dict[Requirement, Verdict]) -> set[str]:
    return {str(line) for line, verdict in verdicts.items() if verdict.kept is False}


def test_the_platform_to_copy_from_keeps_every_line(tmp_path: Path) -> None:
    verdicts = checked(tmp_path, a_platform(tmp_path))
    assert {line for line, verdict in verdicts.items() if verdict.kept} == set(Requirement)


def test_with_shared_secrets_and_nothing_sealed_it_keeps_what_can_be_played(tmp_path: Path) -> None:
    verdicts = checked(tmp_path, a_platform(tmp_path, sealed=False), "v1")
    idle = {line for line, verdict in verdicts.items() if verdict.kept is None}
    assert (broken(verdicts), idle) == (set(), {Requirement.OPENS, Requirement.SEALED_FORGED})


BREAKS = {
    Sin.NO_HANDSHAKE: {"handshake"},
    Sin.NO_ECHO: {"challenge"},
    Sin.ECHOES_ANYBODY: {"forged-challenge"},
    Sin.REFUSES_ALL: {"accepts"},
    Sin.BELIEVES_ANYBODY: {"forged-challenge", "forged", "altered", "unsigned", "stale"},
    Sin.IGNORES_TIME: {"stale"},
    Sin.READS_ONE_SIGNATURE: {"rotation"},
    Sin.ACTS_TWICE: {"replayed", "repeated"},
    Sin.REFUSES_REPEATS: {"repeated"},
    Sin.TAKES_ANY_SIZE: {"oversized"},
    Sin.TAKES_LITTLE: {"largest"},
    Sin.CHOKES_ON_VIDEOS: {"videos"},
    Sin.REFUSES_NEW_TYPES: {"other-types"},
    Sin.CANNOT_OPEN: {"opens"},
    Sin.TRUSTS_THE_SEAL: {"sealed-forged"},
    Sin.NEVER_FETCHES: {"fetches", "rotation", "largest", "videos"},
    Sin.KEEPS_WITHDRAWN: {"withdrawn", "reordered", "feedback"},
    Sin.FORGETS_WITHDRAWALS: {"reordered", "feedback"},
    Sin.SPEAKS_OUT_OF_ORDER: {"feedback"},
    Sin.SLOW: {"in-time", "other-types"},
}


# These never say what is waited for.
SILENT_SINS = {Sin.NEVER_FETCHES, Sin.CHOKES_ON_VIDEOS, Sin.CANNOT_OPEN, Sin.KEEPS_WITHDRAWN}


@pytest.mark.parametrize("sin", Sin)
def test_each_sin_breaks_the_lines_that_it_should(tmp_path: Path, sin: Sin) -> None:
    sloppy = Sloppy("B", Gallery(tmp_path), tmp_path / "enrolment.json", own_keys(), sin=sin)
    verdicts = checked(tmp_path, sloppy, patience=0.8 if sin in SILENT_SINS else 5.0)
    assert broken(verdicts) == BREAKS[sin]


class Fragile(Platform):
    """Hangs up on whatever it does not believe: a crash, not a refusal."""

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        try:
            Platform.verify(self, headers, body)
        except Forged:
            raise ConnectionAbortedError from None


def test_who_hangs_up_has_not_refused(tmp_path: Path) -> None:
    verdicts = checked(tmp_path, Fragile("B", Gallery(tmp_path), tmp_path / "enrolment.json"))
    hung_up = {"forged-challenge", "forged", "altered", "unsigned", "stale"}
    assert broken(verdicts) == hung_up
    for line in hung_up:
        assert verdicts[Requirement(line)].observed.startswith("connection-broken")


class Curt(Platform):
    """Hangs up on a body that is too long for it, as a server in front may."""

    def receive(self, headers: Mapping[str, str], body: bytes) -> str | None:
        if len(body) > 500_000:
            raise ConnectionAbortedError
        return Platform.receive(self, headers, body)


def test_who_hangs_up_on_a_megabyte_has_refused_it(tmp_path: Path) -> None:
    curt = Curt("B", Gallery(tmp_path), tmp_path / "enrolment.json", longest_body=10_000_000)
    verdicts = checked(tmp_path, curt)
    assert broken(verdicts) == set()
    assert verdicts[Requirement.OVERSIZED].observed == "connection-broken"


def test_every_line_can_be_broken_and_is_said_in_words() -> None:
    assert set().union(*BREAKS.values()) == {str(line) for line in Requirement}
    assert SAYS.keys() == set(Requirement)


def test_who_takes_nothing_is_not_said_to_refuse_what_is_bad(tmp_path: Path) -> None:
    platform = Sloppy(
        "B", Gallery(tmp_path), tmp_path / "enrolment.json", own_keys(), sin=Sin.REFUSES_ALL
    )
    verdicts = checked(tmp_path, platform)
    assert verdicts[Requirement.FORGED].kept is None


def test_nobody_there_is_no_verdict() -> None:
    with (
        refusing_port() as port,
        service_for(quick(f"http://127.0.0.1:{port}/")) as service,
        pytest.raises(NoAnswer),
    ):
        list(check(service))


def test_it_posts_to_no_private_network() -> None:
    with (
        service_for(quick("https://10.0.0.1/hook")) as service,
        pytest.raises(EndpointRefused),
    ):
        list(check(service))


def test_a_private_key_in_the_set_is_refused() -> None:
    private = json.dumps(own_keys().as_dict(private=True))
    with pytest.raises(KeySetRefused), service_for(Check("https://a.org/", jwks=private)):
        pass


def _command(url: str, path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--enrolment", str(path), "--patience", "5", *more]
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "partner", "check", url, *arguments],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_says_it_in_json_and_by_its_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "enrolment.json"
    sloppy = Sloppy("B", Gallery(tmp_path), path, sin=Sin.IGNORES_TIME)
    with serving(sloppy) as url:
        done = _command(url, path, "--json")
        again = _command(url, path, "--overwrite")
    assert (done.returncode, again.returncode) == (1, 1)
    said = json.loads(done.stdout)
    assert said["kept"] is False
    assert [row["line"] for row in said["lines"] if row["kept"] is False] == ["stale"]
    assert "BROKEN      stale" in again.stdout
    with refusing_port() as port:
        assert _command(f"http://127.0.0.1:{port}/", path, "--overwrite").returncode == 3


def test_the_page_for_platforms_lists_the_lines() -> None:
    page = (ROOT / "docs/PARTNERS.md").read_text()
    for line, words in SAYS.items():
        assert f"| `{line}` | {words} |" in page
