"""What a platform says, in whatever order it arrives."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from app.domain.audit import Action, unbroken
from app.domain.case import CaseState
from partners.errors import FeedbackRefused, UnknownPartner
from partners.model import Feedback, NoticeId, Partner, Word
from partners.ports import Purpose
from tests.app.services.world import HOUR, World, a_photo, a_request


def test_the_words_are_what_the_young_person_reads(world: World) -> None:
    partner, key = world.platform(), world.report()
    assert world.outcomes(key) == [{"Platform": "sent"}]
    world.expand()
    world.deliver()
    assert world.outcomes(key) == [{"Platform": "they_have_it"}]
    for word, outcome in (
        (Word.ACKNOWLEDGED, "they_have_it"),
        (Word.PENDING_REVIEW, "looking"),
        (Word.NOT_FOUND, "not_found"),
        (Word.REMOVED, "taken_down"),
        (Word.NOT_VIOLATING, "they_said_no"),
    ):
        world.say(partner, key, word)
        assert world.outcomes(key) == [{"Platform": outcome}]


def test_reason_automation_and_redress_are_shown(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    said = Feedback(
        Word.NOT_VIOLATING,
        world.clock.at,
        reason_code="not-a-match",
        automated=True,
        redress_url="https://p.test/why",
    )
    world.services.record_feedback(partner, world.notice(key, partner).id, said)
    ((row,),) = [item.platforms for item in world.services.open_case(key).items]
    assert (row.reason_code, row.automated, row.redress_url) == (
        "not-a-match",
        True,
        "https://p.test/why",
    )


@pytest.mark.parametrize("late", [Word.ACKNOWLEDGED, Word.PENDING_REVIEW])
def test_a_word_that_comes_too_late_is_refused_and_changes_nothing(
    world: World, late: Word
) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.say(partner, key, Word.REMOVED)
    with pytest.raises(FeedbackRefused):
        world.say(partner, key, late)
    assert world.notice(key, partner).feedback.word is Word.REMOVED


def test_a_repeat_changes_nothing(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    first = world.say(partner, key, Word.REMOVED)
    world.clock.forward(HOUR)
    assert world.say(partner, key, Word.REMOVED) == first


def test_forgetting_is_no_answer_before_a_withdrawal(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    with pytest.raises(FeedbackRefused):
        world.say(partner, key, Word.WITHDRAWN_DONE)
    assert world.case(key).state is CaseState.ACTIVE


def test_after_a_withdrawal_only_forgetting_counts(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.services.withdraw_case(key)
    world.expand()
    with pytest.raises(FeedbackRefused):
        world.say(partner, key, Word.REMOVED)
    assert world.outcomes(key) == [{"Platform": "forgetting"}]
    world.say(partner, key, Word.WITHDRAWN_DONE)
    assert world.say(partner, key, Word.WITHDRAWN_DONE).feedback.word is Word.WITHDRAWN_DONE


def test_another_platforms_item_is_as_unknown_as_none_at_all(world: World) -> None:
    one, other = world.platform("One"), world.platform("Other")
    key = world.report()
    world.expand()
    theirs = world.notice(key, one).id
    for notice_id in (theirs, NoticeId("itm_" + "0" * 32)):
        with pytest.raises(UnknownPartner):
            world.services.record_feedback(other, notice_id, Feedback(Word.REMOVED, world.clock.at))
    assert world.notice(key, one).feedback.word is Word.SENT


def test_many_words_at_once_all_arrive_or_are_refused(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    notice_id = world.notice(key, partner).id
    together = threading.Barrier(6)

    def say(word: Word) -> Word:
        together.wait()
        said = Feedback(word, world.clock.at)
        return world.services.record_feedback(partner, notice_id, said).feedback.word

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(say, [Word.REMOVED] * 6)) == {Word.REMOVED}
    assert world.notice(key, partner).version == 2


def test_the_last_two_forget_at_the_same_moment_and_it_is_scrubbed_once(world: World) -> None:
    partners = [world.platform(f"Platform {n}") for n in range(6)]
    key = world.report()
    world.expand()
    world.services.withdraw_case(key)
    world.expand()
    together = threading.Barrier(6)

    def forget(number: int) -> None:
        together.wait()
        world.say(partners[number], key, Word.WITHDRAWN_DONE)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(forget, range(6)))
    assert world.case(key).state is CaseState.SCRUBBED
    said = [entry.action for entry in world.house.store.audit_of(world.case(key).id)]
    assert said == [Action.REPORTED, Action.WITHDRAWN, *[Action.FEEDBACK] * 6, Action.SCRUBBED]


def test_every_word_is_in_the_audit_chain_and_the_newest_on_the_notice(world: World) -> None:
    one, other = world.platform("One"), world.platform("Other")
    key = world.report()
    world.expand()
    for partner, word in (
        (one, Word.ACKNOWLEDGED),
        (other, Word.REMOVED),
        (one, Word.NOT_FOUND),
        (one, Word.NOT_FOUND),  # a repeat says nothing new
        (one, Word.REMOVED),
    ):
        world.say(partner, key, word)
    chain = world.house.store.audit_of(world.case(key).id)
    notices = {partner: world.notice(key, partner).id for partner in (one, other)}
    assert [(entry.actor, entry.action, entry.reason) for entry in chain[1:]] == [
        ("partner", "feedback", f"acknowledged {notices[one]}"),
        ("partner", "feedback", f"removed {notices[other]}"),
        ("partner", "feedback", f"not_found {notices[one]}"),
        ("partner", "feedback", f"removed {notices[one]}"),
    ]
    assert unbroken(chain, partial(world.house.keys.tag, Purpose.AUDIT))
    assert world.notice(key, one).feedback.word is Word.REMOVED
    assert world.case(key).version == len(chain) == 5


def test_a_refused_word_is_not_in_the_chain(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    with pytest.raises(FeedbackRefused):
        world.say(partner, key, Word.WITHDRAWN_DONE)
    assert world.count("audit") == 1


def test_a_young_person_can_add_while_every_platform_answers(world: World) -> None:
    """Both change the case: nobody may be turned away for the other."""
    partners = [world.platform(f"Platform {n}") for n in range(12)]
    key = world.report()
    world.expand()
    together = threading.Barrier(13)

    def answer(partner: Partner) -> None:
        together.wait()
        world.say(partner, key, Word.ACKNOWLEDGED)
        world.say(partner, key, Word.REMOVED)

    def add() -> None:
        together.wait()
        for _ in range(5):
            world.services.add_to_case(key, [a_photo()], a_request())

    with ThreadPoolExecutor(13) as pool:
        done = [pool.submit(answer, partner) for partner in partners] + [pool.submit(add)]
    assert [one.exception() for one in done] == [None] * 13
    assert world.case(key).item_count == 6
    chain = world.house.store.audit_of(world.case(key).id)
    assert len(chain) == 1 + 24 + 5
    assert unbroken(chain, partial(world.house.keys.tag, Purpose.AUDIT))
