"""Profile `declared-v1`: the young person says so, and nobody checks."""

from __future__ import annotations

from datetime import datetime

from app.adapters.age.reasons import Reason
from app.domain.age import AgeBasis, AgeClaim, Presentation
from app.domain.errors import AgeRefused


class DeclaredAge:
    """Takes any band at its word, and refuses a token so that none is sent for nothing."""

    profile: str = "declared-v1"
    scheme: str = ""

    def asks(self) -> list[str]:
        return []

    def challenge(self) -> dict[str, object]:
        return {"profile": self.profile}

    def verify(self, presentation: Presentation, now: datetime) -> AgeClaim:
        """The weakest basis, with nothing to spend."""
        if presentation.token is not None:
            raise AgeRefused(Reason.TOKEN_UNEXPECTED)
        if presentation.proof is not None:
            raise AgeRefused(Reason.PROOF_UNEXPECTED)
        return AgeClaim(AgeBasis.DECLARED)
