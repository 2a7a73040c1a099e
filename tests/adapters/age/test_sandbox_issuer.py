"""The development issuer and its client against the real verifier, as `./run` uses them."""

from __future__ import annotations

import ast
import http.client
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app.adapters.age.issuers import IssuerFile
from app.adapters.age.jwt_age import JwtAge
from app.client.age import Device, NoToken, ask_token
from app.domain.age import AgeBand, Presentation
from infra.sandbox.issuer import main
from tests.adapters.age.minting import AUDIENCE, BODY, URL, FixedClock, never

SANDBOX = Path(__file__).parents[3] / "infra" / "sandbox"
DEVICE = Path(__file__).resolve().parents[3] / "app/client/age.py"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Path]]:
    folder = tmp_path_factory.mktemp("issuer")
    arguments = ["--key", str(folder / "key.pem"), "--issuers-file", str(folder / "issuers.toml")]
    command = [sys.executable, str(SANDBOX / "issuer.py"), *arguments, "--audience", AUDIENCE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield json.loads(process.stdout.readline()), folder
        process.terminate()
        assert process.wait(10) == 0
        assert process.stdout.read() == ""


def _presentation(headers: dict[str, str], band: AgeBand) -> Presentation:
    token = headers["Authorization"].removeprefix("DPoP ")
    digest = sha256(BODY).digest()
    return Presentation("jwt-age-v1", band, digest, "POST", URL, token, headers["DPoP"])


@pytest.mark.parametrize(
    ("claim", "band"),
    [("age_under_18", AgeBand.UNDER_13), ("was_under_18_at", AgeBand.WAS_UNDER_18)],
)
def test_the_client_program_gets_headers_that_the_service_takes(
    running: tuple[dict[str, Any], Path], claim: str, band: AgeBand
) -> None:
    ready, folder = running
    now = datetime.now(UTC)
    verifier = JwtAge(IssuerFile(folder / "issuers.toml", never), b"s" * 32, FixedClock(now))
    challenge: Any = verifier.challenge()
    asked = [
        *("--issuer", ready["url"], f"--nonce={challenge['nonce']}", "--url", URL),
        *("--audience", challenge["issuers"][0]["audience"], "--claim", claim),
    ]
    command = [sys.executable, str(DEVICE), *asked]
    made = subprocess.run(command, input=BODY, capture_output=True, check=True)
    claimed = verifier.verify(_presentation(json.loads(made.stdout), band), datetime.now(UTC))
    assert claimed.spend


def test_the_ready_line_and_the_start_page_say_that_nobody_is_checked(
    running: tuple[dict[str, Any], Path],
) -> None:
    ready, _ = running
    page = _get(ready["url"], "/")
    assert "checks nobody" in ready["warning"]
    assert "checks nobody" in page["warning"]


def test_the_key_file_is_private_and_kept(running: tuple[dict[str, Any], Path]) -> None:
    ready, folder = running
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    (key,) = _get(ready["url"], "/jwks.json")["keys"]
    assert f'kid = "{key["kid"]}"' in (folder / "issuers.toml").read_text()
    assert "d" not in key
    again = [sys.executable, str(SANDBOX / "issuer.py"), "--key", str(folder / "key.pem")]
    with subprocess.Popen(again, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        assert _get(url, "/jwks.json")["keys"] == [key]
        process.terminate()


@pytest.mark.parametrize(
    "change",
    [
        {"jkt": "short"},
        {"jkt": None},
        {"nonce": ""},
        {"nonce": "a b"},
        {"audience": 7},
        {"claim": "age_over_18"},
        {"claim": ["age_under_18"]},
        {"sub": "somebody"},
    ],
)
def test_a_request_that_does_not_hold_together_gets_no_token(
    running: tuple[dict[str, Any], Path], change: dict[str, Any]
) -> None:
    wish = {"jkt": Device().thumbprint(), "nonce": "n", "audience": "a", "claim": "age_under_18"}
    assert _post(running[0]["url"], json.dumps(wish).encode()) == 200
    assert _post(running[0]["url"], json.dumps(wish | change).encode()) == 400


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"\xff", b"[" * 4000])
def test_rubbish_gets_no_token(running: tuple[dict[str, Any], Path], body: bytes) -> None:
    assert _post(running[0]["url"], body) == 400


def test_a_large_body_is_not_read(running: tuple[dict[str, Any], Path]) -> None:
    with _connected(running[0]["url"]) as connection:
        connection.putrequest("POST", "/token")
        connection.putheader("Content-Length", "2000000")
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (413, "close")


@contextmanager
def _connected(url: str) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
        yield connection


def _get(url: str, path: str) -> dict[str, Any]:
    with _connected(url) as connection:
        connection.request("GET", path)
        page: dict[str, Any] = json.load(connection.getresponse())
        return page


def _post(url: str, body: bytes) -> int:
    with _connected(url) as connection:
        connection.request("POST", "/token", body)
        return connection.getresponse().status


def test_the_client_says_why_it_has_no_token(running: tuple[dict[str, Any], Path]) -> None:
    with pytest.raises(NoToken, match="answered 400"):
        ask_token(running[0]["url"], "short", "n", "a", "age_under_18")
    with pytest.raises(NoToken, match="no usable answer"):
        ask_token("http://127.0.0.1:1", "x" * 43, "n", "a", "age_under_18")
    with pytest.raises(NoToken, match="neither http nor https"):
        ask_token("file:///etc", "x" * 43, "n", "a", "age_under_18")


@pytest.mark.parametrize(
    "arguments", [["--id", "a b"], ["--audience", "x"], ["--issuers-file", "x"], ["--port", "x"]]
)
def test_wrong_options_are_explained(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("program", [SANDBOX / "issuer.py", DEVICE])
def test_the_sandbox_stands_alone(program: Path) -> None:
    tree = ast.parse(program.read_text())
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & {"app", "partners", "hashing", "infra"}
    shown = subprocess.run(
        [sys.executable, str(program), "--help"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert "usage:" in shown.stdout
