from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.domain.outcome import WORDS, Outcome, is_decided, outcome_of
from partners.model import CaseId, Feedback, Notice, NoticeId, PartnerId, Word

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)


def a_notice(word: Word) -> Notice:
    return Notice(
        NoticeId("itm_1"), PartnerId("ptn_1"), CaseId("case_1"), 1, NOW, Feedback(word, NOW)
    )


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        (Word.SENT, Outcome.SENT),
        (Word.ACKNOWLEDGED, Outcome.THEY_HAVE_IT),
        (Word.PENDING_REVIEW, Outcome.LOOKING),
        (Word.REMOVED, Outcome.TAKEN_DOWN),
        (Word.NOT_FOUND, Outcome.NOT_FOUND),
        (Word.NOT_VIOLATING, Outcome.THEY_SAID_NO),
        (Word.WITHDRAWN_DONE, Outcome.FORGOTTEN),
    ],
)
def test_every_word_has_an_outcome(word: Word, outcome: Outcome) -> None:
    assert outcome_of(a_notice(word)) is outcome


def test_a_delivered_request_reads_as_they_have_it() -> None:
    assert outcome_of(replace(a_notice(Word.SENT), delivered_at=NOW)) is Outcome.THEY_HAVE_IT


@pytest.mark.parametrize("word", [Word.SENT, Word.ACKNOWLEDGED, Word.PENDING_REVIEW])
def test_late_shows_until_there_is_a_decision(word: Word) -> None:
    notice = replace(a_notice(word), late_at=NOW)
    assert outcome_of(notice) is Outcome.LATE
    assert not is_decided(notice)


@pytest.mark.parametrize(
    "word", [Word.REMOVED, Word.NOT_FOUND, Word.NOT_VIOLATING, Word.WITHDRAWN_DONE]
)
def test_a_decision_shows_though_it_came_late(word: Word) -> None:
    notice = replace(a_notice(word), late_at=NOW)
    assert outcome_of(notice) is not Outcome.LATE
    assert is_decided(notice)


@pytest.mark.parametrize("word", list(Word))
def test_a_withdrawal_hides_what_came_before_it(word: Word) -> None:
    withdrawn = replace(a_notice(word), withdrawn_at=NOW)
    expected = Outcome.FORGOTTEN if word is Word.WITHDRAWN_DONE else Outcome.FORGETTING
    assert outcome_of(withdrawn) is expected


def test_every_outcome_has_words_that_promise_nothing() -> None:
    assert set(WORDS) == set(Outcome)
    text = " ".join(WORDS.values()).lower()
    for promise in ("everywhere", "forever", "anonymous", "impossible", "guarantee", "deleted"):
        assert promise not in text
