"""A partner's word, turned into what a young person reads."""

from __future__ import annotations

from enum import StrEnum

from partners.model import DECISIONS, Notice, Word


class Outcome(StrEnum):
    """What is shown for one item at one platform."""

    SENT = "sent"
    THEY_HAVE_IT = "they_have_it"
    LOOKING = "looking"
    TAKEN_DOWN = "taken_down"
    NOT_FOUND = "not_found"
    THEY_SAID_NO = "they_said_no"
    LATE = "late"
    FORGETTING = "forgetting"
    FORGOTTEN = "forgotten"


WORDS: dict[Outcome, str] = {
    Outcome.SENT: "Sent",
    Outcome.THEY_HAVE_IT: "They have it",
    Outcome.LOOKING: "Looking",
    Outcome.TAKEN_DOWN: "Taken down",
    Outcome.NOT_FOUND: "Not found so far",
    Outcome.THEY_SAID_NO: "They said no",
    Outcome.LATE: "Late (a helper knows)",
    Outcome.FORGETTING: "We asked them to forget it",
    Outcome.FORGOTTEN: "They say they forgot it",
}

_SAID: dict[Word, Outcome] = {
    Word.SENT: Outcome.SENT,
    Word.ACKNOWLEDGED: Outcome.THEY_HAVE_IT,
    Word.PENDING_REVIEW: Outcome.LOOKING,
    Word.REMOVED: Outcome.TAKEN_DOWN,
    Word.NOT_FOUND: Outcome.NOT_FOUND,
    Word.NOT_VIOLATING: Outcome.THEY_SAID_NO,
    Word.WITHDRAWN_DONE: Outcome.FORGOTTEN,
}


def outcome_of(notice: Notice) -> Outcome:
    """The outcome of one notice.

    A withdrawal hides what came before it; a partner that is late stays so until it has decided.
    """
    said = _SAID[notice.feedback.word]
    if notice.withdrawn_at is not None and said is not Outcome.FORGOTTEN:
        unheard = notice.late_at is not None and notice.late_at >= notice.withdrawn_at
        return Outcome.LATE if unheard else Outcome.FORGETTING
    if is_decided(notice):
        return said
    if notice.late_at is not None:
        return Outcome.LATE
    if said is Outcome.SENT and notice.delivered_at is not None:
        return Outcome.THEY_HAVE_IT
    return said


def is_decided(notice: Notice) -> bool:
    """Whether its partner has said what it did, rather than that it will."""
    return notice.feedback.word in DECISIONS
