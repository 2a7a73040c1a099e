import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.domain.audit import Action, Actor, AuditEntry, link, unbroken
from partners.model import CaseId

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)


def keyed(value: bytes) -> bytes:
    return hmac.new(b"k" * 32, value, hashlib.sha256).digest()


def a_chain(length: int) -> list[AuditEntry]:
    chain: list[AuditEntry] = []
    for number in range(1, length + 1):
        previous = chain[-1].digest if chain else b""
        at = NOW + timedelta(minutes=number)
        chain.append(
            link(
                previous,
                CaseId("case_1"),
                number,
                at,
                Actor.YOUNG_PERSON,
                Action.ITEMS_ADDED,
                "added",
                keyed,
            )
        )
    return chain


def test_a_whole_chain_holds() -> None:
    assert unbroken(a_chain(5), keyed)
    assert unbroken([], keyed)


@given(st.integers(0, 4))
def test_a_missing_entry_shows(missing: int) -> None:
    chain = a_chain(6)
    del chain[missing]
    assert not unbroken(chain, keyed)


@given(st.integers(0, 5), st.sampled_from(["actor", "action", "reason", "at"]))
def test_an_altered_entry_shows(place: int, part: str) -> None:
    chain = a_chain(6)
    other: dict[str, object] = {
        "actor": Actor.OPERATOR,
        "action": Action.WITHDRAWN,
        "reason": "other",
        "at": NOW,
    }
    chain[place] = replace(chain[place], **{part: other[part]})  # type: ignore[arg-type]
    assert not unbroken(chain, keyed)


def test_another_key_does_not_make_the_chain() -> None:
    assert not unbroken(a_chain(3), lambda value: hashlib.sha256(value).digest())
