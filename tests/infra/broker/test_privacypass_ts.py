"""The independent client: npm's `@cloudflare/privacypass-ts` mints here, our service accepts it."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.adapters.age.issuers import IssuerFile
from app.adapters.age.privacy_pass import PROFILE, PrivacyPass
from app.domain.age import AgeBand, AgeBasis, Presentation
from app.domain.errors import AgeRefused
from tests.infra.broker.conftest import SoftHsm
from tests.infra.broker.running import NODE, passed, process, write
from tests.infra.broker.test_server import command

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
    done = subprocess.run(
        ["node", "mint.mjs"],
        cwd=NODE,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


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
