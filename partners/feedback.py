"""What a partner says of an item, and which word may follow which.

A partner may leave words out (say `removed` at once), repeat its last word, change its mind after
another look, and find later what it had not found. It may not take a decision back into an open
question. Once the young person withdrew, the only word that counts is that it forgot the item.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from partners.errors import FeedbackRefused
from partners.model import DECISIONS, Feedback, Notice, Word

# Of an item that stands: nobody has forgotten it before it was taken back.
_DECIDED = frozenset(DECISIONS) - {Word.WITHDRAWN_DONE}

FEEDBACK_FOLLOWS: Final[Mapping[Word, frozenset[Word]]] = MappingProxyType(
    {
        Word.SENT: frozenset({Word.ACKNOWLEDGED, Word.PENDING_REVIEW}) | _DECIDED,
        Word.ACKNOWLEDGED: frozenset({Word.PENDING_REVIEW}) | _DECIDED,
        Word.PENDING_REVIEW: _DECIDED,
        # Stay-down: it may be uploaded, and found, after it was not.
        Word.NOT_FOUND: frozenset({Word.PENDING_REVIEW, Word.REMOVED, Word.NOT_VIOLATING}),
        # A second look, after a complaint of the young person's.
        Word.NOT_VIOLATING: frozenset({Word.PENDING_REVIEW, Word.REMOVED}),
        # Put back after the uploader's appeal: nobody may go on reading 'taken down' then.
        Word.REMOVED: frozenset({Word.NOT_VIOLATING}),
        Word.WITHDRAWN_DONE: frozenset(),
    }
)
"""Which new word may follow which, while the notice stands."""


def may_follow(notice: Notice, word: Word) -> bool:
    """Whether the partner may say a new `word` of this notice now."""
    if notice.withdrawn_at is not None:
        said = notice.feedback.word
        return word is Word.WITHDRAWN_DONE and said is not Word.WITHDRAWN_DONE
    return word in FEEDBACK_FOLLOWS[notice.feedback.word]


def accept(notice: Notice, feedback: Feedback) -> Notice:
    """The notice with that feedback, one version on; the same notice if the word is its last one.

    Raises FeedbackRefused when the word may not follow.
    """
    if _repeats(notice, feedback):
        return notice
    if not may_follow(notice, feedback.word):
        raise FeedbackRefused(f"{feedback.word} may not follow {_standing(notice)}")
    return replace(notice, feedback=feedback, version=notice.version + 1)


def _repeats(notice: Notice, feedback: Feedback) -> bool:
    """Whether the partner said this already (a retry of its request).

    Once withdrawn, only its last word can be repeated; `sent` is ours to say, never a partner's.
    """
    if feedback.word is not notice.feedback.word or feedback.word is Word.SENT:
        return False
    return notice.withdrawn_at is None or feedback.word is Word.WITHDRAWN_DONE


def _standing(notice: Notice) -> str:
    return "a withdrawal" if notice.withdrawn_at is not None else notice.feedback.word.value
