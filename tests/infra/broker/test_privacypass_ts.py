"""The independent client: npm's `@cloudflare/privacypass-ts` mints here, our service accepts it."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app.adapters.age.issuers import IssuerFile
from app.adapters.age.privacy_pass import PROFILE, PrivacyPass
from app.domain.age import AgeBand, AgeBasis, Presentation
from app.domain.errors import AgeRefused
from tests.app.web.running import running
from tests.infra.broker.conftest import SoftHsm
from tests.infra.broker.running import NODE, command, passed, process, write

pytestmark = pytest.mark.skipif(
    not (NODE / "node_modules").is_dir(), reason="./test installs what the folder node names"
)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ISSUERS = """
format = 1

[[issuer]]
profile = "pp-under18-v1"
id = "under18-document.broker.example"
audience = "young.example"
basis = "verified_document"
valid_from_at = 2026-01-01T00:00:00Z
valid_until_at = 2027-01-01T00:00:00Z

"""


class Still:
    def now(self) -> datetime:
        return NOW


def mint(**asked: object) -> list[str]:
    return list(node("mint.mjs", asked))


def node(program: str, asked: dict[str, object]) -> Any:
    done = subprocess.run(
        ["node", program],
        cwd=NODE,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def shown_with(token: str) -> Presentation:
    band, url = AgeBand.FROM_13_TO_15, "https://young.example/v1/reports"
    return Presentation(PROFILE, band, bytes(32), "POST", url, token)


def never(refused: object) -> None:
    raise AssertionError(refused)


@pytest.mark.parametrize("kind", ["development", "pkcs11"])
def test_its_token_verifies_there_and_at_our_service(
    tmp_path: Path, keys: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    path = write(tmp_path, keys)
    env: dict[str, str] = {}
    if kind == "pkcs11":
        softhsm: SoftHsm = request.getfixturevalue("softhsm")
        env = softhsm.env
        text = path.read_text().replace('"document"', '"npm-1"').replace('"estimate"', '"npm-2"')
        start, end = text.index("[signer]"), text.index("[[key]]")
        path.write_text(text[:start] + softhsm.signer + text[end:])
        for label in ("npm-1", "npm-2"):
            made = command("keys", "make", label, "--config", str(path), "--development", env=env)
            assert made[0] == 0, made
    shown = command("keys", "show", "--config", str(path), "--development", env=env)[1]
    first = shown.split("\n\n")[0]
    file = tmp_path / "issuers.toml"
    file.write_text(ISSUERS + first + "\n")
    verifier = PrivacyPass(IssuerFile(file, never), b"s" * 32, Still())
    issuers: Any = verifier.challenge()["issuers"]
    (offered,) = issuers
    with process(path, env=env) as broker:
        session = passed(broker.url)
        cookie = f"pass={session.cookies['pass']}"
        tokens = mint(
            url=broker.url,
            cookie=cookie,
            spki=offered["token_key"],
            challenges=[offered["challenge"]] * 3,
        )
    assert len(set(tokens)) == 3
    spends = set()
    for token in tokens:
        padded = token + "=" * (-len(token) % 4)
        claim = verifier.verify(shown_with(padded), NOW)
        assert claim.basis is AgeBasis.VERIFIED_DOCUMENT
        spends.add(claim.spend)
    assert len(spends) == 3
    raw = bytearray(base64.urlsafe_b64decode(tokens[0] + "=="))
    raw[200] ^= 1
    spoilt = base64.urlsafe_b64encode(bytes(raw)).decode()
    with pytest.raises(AgeRefused):
        verifier.verify(shown_with(spoilt), NOW)


def test_a_report_over_http_by_what_the_refusal_says(tmp_path: Path, keys: Path) -> None:
    """The library reads our challenge and writes the header; a token is good for one report."""
    path = write(tmp_path, keys)
    shown = command("keys", "show", "--config", str(path), "--development")[1]
    file = tmp_path / "issuers.toml"
    file.write_text(ISSUERS + shown.split("\n\n")[0] + "\n")
    accepted = {"AGE_ISSUERS_FILE": str(file), "AGE_PROFILES": "pp-under18-v1,declared-v1"}
    with process(path) as broker, running(tmp_path, **accepted) as service:
        cookie = f"pass={passed(broker.url).cookies['pass']}"
        asked = {"service": service.url, "broker": broker.url, "cookie": cookie}
        answers = node("report.mjs", {**asked, "bodies": [report("aa"), report("bb")]})
    assert [status for status, _ in answers] == [401, 201, 401]
    assert answers[0][1]["reason"] == "token-missing"
    assert answers[2][1]["code"] == "age-token-spent"


def report(case: str) -> str:
    hashes = {"sha256": sha256(case.encode()).hexdigest()}
    age = {"profile": PROFILE, "band": "13_15"}
    return json.dumps(
        {"case_key": case * 32, "age": age, "items": [{"kind": "photo", "hashes": hashes}]}
    )
