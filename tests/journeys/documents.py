"""Proofs of age by mobile document (`mdoc-age-v1`), beside those of every other profile."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from infra.sandbox.issuer import b64
from tests.adapters.age.documents import DAY, START, Papers, certificate, token
from tests.journeys import ages
from tests.journeys.ages import Proof

MDOC = "mdoc-age-v1"
PROFILES = (*ages.PROFILES, MDOC)


@dataclass(kw_only=True)
class Authorities(ages.Authorities):
    """Whoever vouches for an age, among them who signs mobile documents."""

    papers: Papers

    def __post_init__(self) -> None:
        """The papers are of a day long ago: certificates that hold today."""
        until, root_key = datetime.now(UTC) + 30 * DAY, self.papers.root_key
        self.papers.root = certificate("Root", root_key, "Root", root_key, root=True, until=until)
        signer = certificate("Signer", self.papers.signer_key, "Root", root_key, until=until)
        self.papers.chain = [signer]

    def entries(self) -> str:
        return super().entries() + self.papers.issuers_file().split("format = 1")[1]

    def proof(self, profile: str, challenge: dict[str, Any], url: str, issuer: str) -> Proof:
        if profile != MDOC:
            return super().proof(profile, challenge, url, issuer)
        asked = next(p for p in challenge["profiles"] if p["profile"] == MDOC)
        return self._showing(base64.urlsafe_b64decode(asked["window"] + "="))

    def _showing(self, window: bytes) -> Proof:
        """One document in one wallet, which signs anew at every showing."""
        signed = (datetime.now(UTC) - START) / DAY - 1
        document = self.papers.response(days=(signed, signed, signed + 20))

        def show(body: bytes) -> dict[str, str]:
            nonce = b64(sha256(window + sha256(body).digest()).digest())
            other = self.papers.response(transcript=self.papers.transcript(nonce))
            document["documents"][0]["deviceSigned"] = other["documents"][0]["deviceSigned"]
            return {"Authorization": f"MDOC-VP {token(document)}"}

        return show
