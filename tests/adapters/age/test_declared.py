from __future__ import annotations

import pytest

from app.adapters.age.declared import DeclaredAge
from app.domain.age import AgeBand, AgeBasis, AgeClaim, Presentation
from app.domain.errors import AgeRefused
from tests.adapters.age.minting import NOW


def presentation(band: AgeBand, token: str | None = None, proof: str | None = None) -> Presentation:
    return Presentation("declared-v1", band, bytes(32), "POST", "https://x", token, proof)


@pytest.mark.parametrize("band", AgeBand)
def test_every_band_is_taken_at_its_word_and_spends_nothing(band: AgeBand) -> None:
    assert DeclaredAge().verify(presentation(band), NOW) == AgeClaim(AgeBasis.DECLARED, None)


@pytest.mark.parametrize(
    ("token", "proof", "reason"),
    [
        ("x", None, "token-unexpected"),
        ("", None, "token-unexpected"),
        ("x", "x", "token-unexpected"),
        (None, "x", "proof-unexpected"),
        (None, "", "proof-unexpected"),
    ],
)
def test_a_token_sent_for_nothing_is_refused(
    token: str | None, proof: str | None, reason: str
) -> None:
    with pytest.raises(AgeRefused, match=reason):
        DeclaredAge().verify(presentation(AgeBand.UNDER_13, token, proof), NOW)


def test_the_challenge_asks_for_nothing() -> None:
    assert DeclaredAge().challenge() == {"profile": "declared-v1"}
