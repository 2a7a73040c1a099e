"""Every pair of words, before and after a withdrawal."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from partners.errors import FeedbackRefused
from partners.feedback import FEEDBACK_FOLLOWS, accept, may_follow
from partners.model import Feedback, Notice, NoticeId, Word
from tests.partners.memory import EPOCH, SetClock, a_notice

NOW = SetClock().now()

# Written out a second time, as a reader of docs/PARTNERS.md would: rows are the last word.
ALLOWED = {
    "sent": "acknowledged pending_review removed not_found not_violating",
    "acknowledged": "pending_review removed not_found not_violating",
    "pending_review": "removed not_found not_violating",
    "not_found": "pending_review removed not_violating",
    "not_violating": "pending_review removed",
    "removed": "not_violating",
    "withdrawn_done": "",
}


def saying(word: Word, *, withdrawn: bool = False) -> Notice:
    notice = replace(a_notice(NoticeId("itm_1")), feedback=Feedback(word, EPOCH))
    return replace(notice, withdrawn_at=NOW) if withdrawn else notice


def test_the_table_has_every_word() -> None:
    assert set(FEEDBACK_FOLLOWS) == set(Word)


@pytest.mark.parametrize(("last", "new"), list(product(Word, Word)))
def test_every_pair_while_the_notice_stands(last: Word, new: Word) -> None:
    notice, said = saying(last), Feedback(new, NOW, "csam", automated=True)
    if new is last and new is not Word.SENT:
        assert accept(notice, said) is notice
    elif new.value in ALLOWED[last.value].split():
        assert accept(notice, said) == replace(notice, feedback=said, version=2)
    else:
        with pytest.raises(FeedbackRefused, match=new.value):
            accept(notice, said)


@pytest.mark.parametrize(("last", "new"), list(product(Word, Word)))
def test_every_pair_after_a_withdrawal(last: Word, new: Word) -> None:
    notice, said = saying(last, withdrawn=True), Feedback(new, NOW)
    if new is not Word.WITHDRAWN_DONE:
        with pytest.raises(FeedbackRefused, match="withdrawal"):
            accept(notice, said)
    elif last is Word.WITHDRAWN_DONE:
        assert accept(notice, said) is notice
    else:
        assert accept(notice, said).feedback.word is Word.WITHDRAWN_DONE


@pytest.mark.parametrize("last", Word)
def test_nobody_forgets_what_was_not_withdrawn(last: Word) -> None:
    assert not may_follow(saying(last), Word.WITHDRAWN_DONE)
