"""A unit of changes: all of it or none, refused in domain words."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from app.domain.age import AgeBasis
from app.domain.case import CaseState
from app.domain.errors import AgeTokenSpent, CaseKeyTaken, Contested, StoreUnavailable
from app.ports import (
    AddAudit,
    AddCase,
    AddEvent,
    AddMessage,
    AddNotice,
    Change,
    CloseEvent,
    PutItem,
    Remember,
    SaveCase,
    SaveMessage,
    SaveNotice,
    SavePartner,
    SpendToken,
    Store,
)
from partners.events import EventType
from partners.model import EventId, Feedback, MessageState, PartnerId, PartnerStatus, Word
from tests.contract.samples import (
    DAY,
    MINUTE,
    NOW,
    a_case,
    a_message,
    a_notice,
    a_partner,
    a_report,
    an_answer,
    an_entry,
    an_event,
    an_item,
)


def test_a_report_is_read_back_as_it_was_written(store: Store) -> None:
    case = a_case(withdrawn_at=NOW, scrubbed_at=NOW + DAY, state=CaseState.SCRUBBED)
    items = [an_item(case, 2, sealed_locations=b"\x00\xff", withdrawn_at=NOW), an_item(case, 1)]
    entry, event, answer = an_entry(case), an_event(case, 2, 1), an_answer()
    store.commit(
        AddCase(case),
        *map(PutItem, items),
        AddAudit(entry),
        AddEvent(event),
        Remember(answer),
    )
    assert store.case(case.id) == store.case_by_key(case.key_tag) == case
    assert store.items(case.id) == items[::-1]
    assert store.audit_of(case.id) == [entry]
    assert store.open_events(10) == [event]
    assert store.remembered(answer.tag, NOW) == answer


def test_what_is_not_there_is_none_or_empty(store: Store) -> None:
    case, message, partner = a_case(), a_message(), a_partner()
    assert store.case(case.id) is None
    assert store.case_by_key(case.key_tag) is None
    assert store.message(message.id) is None
    assert store.partner(partner.id) is None
    assert store.notice(a_notice(case).id) is None
    assert store.remembered(b"?", NOW) is None
    assert not store.items(case.id)
    assert not store.notices_of(case.id)
    assert not store.audit_of(case.id)
    assert not store.attempts(message.id)
    assert not store.open_events(1)
    assert store.partners() == ()
    assert store.next_due_at() is None


def test_an_empty_unit_is_nothing(store: Store) -> None:
    store.commit()


def test_a_hundred_changes_are_one_unit(store: Store) -> None:
    case = a_case()
    store.commit(AddCase(case), *(PutItem(an_item(case, number)) for number in range(1, 100)))
    assert [item.number for item in store.items(case.id)] == list(range(1, 100))


def test_more_than_a_hundred_changes_are_a_mistake(store: Store) -> None:
    case = a_case()
    with pytest.raises(ValueError, match="at most 100"):
        store.commit(AddCase(case), *(PutItem(an_item(case, number)) for number in range(100)))
    assert store.case(case.id) is None


def test_a_taken_key_is_refused(store: Store) -> None:
    first, second = a_case(), a_case()
    store.commit(AddCase(first))
    with pytest.raises(CaseKeyTaken):
        store.commit(AddCase(replace(second, key_tag=first.key_tag)))
    assert store.case_by_key(first.key_tag) == first
    assert store.case(second.id) is None


def test_a_case_is_saved_over_its_last_version_only(store: Store) -> None:
    case = a_case()
    store.commit(AddCase(case))
    changed = replace(case, version=2, basis=AgeBasis.DECLARED, sweep_at=NOW, item_count=7)
    store.commit(SaveCase(changed))
    assert store.case(case.id) == changed
    for version in (1, 2, 4):
        with pytest.raises(Contested):
            store.commit(SaveCase(replace(changed, version=version, item_count=9)))
    assert store.case(case.id) == changed


def test_a_case_that_is_not_there_cannot_be_saved(store: Store) -> None:
    case = a_case(version=2)
    with pytest.raises(Contested):
        store.commit(SaveCase(case))
    assert store.case(case.id) is None


def test_an_item_is_new_or_changed(store: Store) -> None:
    case, other = a_case(), a_case()
    item, beside, elsewhere = an_item(case), an_item(case, 2), an_item(other)
    store.commit(AddCase(case), PutItem(item), PutItem(beside), AddCase(other), PutItem(elsewhere))
    scrubbed = replace(item, sealed_hashes=None, duplicate_tag=None, platforms=())
    store.commit(SaveCase(replace(case, version=2)), PutItem(scrubbed))
    assert store.items(case.id) == [scrubbed, beside]
    assert store.items(other.id) == [elsewhere]


def test_a_token_is_spent_once(store: Store) -> None:
    tag = os.urandom(32)
    store.commit(SpendToken(tag, NOW + DAY))
    with pytest.raises(AgeTokenSpent):
        store.commit(SpendToken(tag, NOW + 2 * DAY))


def test_a_token_in_a_refused_unit_is_not_burnt(store: Store) -> None:
    taken, case, tag = a_case(), a_case(), os.urandom(32)
    store.commit(AddCase(taken))
    with pytest.raises(CaseKeyTaken):
        store.commit(SpendToken(tag, NOW), AddCase(replace(case, key_tag=taken.key_tag)))
    store.commit(SpendToken(tag, NOW), AddCase(case))


def test_an_answer_is_kept_once(store: Store) -> None:
    answer = an_answer()
    store.commit(Remember(answer))
    with pytest.raises(Contested):
        store.commit(Remember(replace(answer, answer=b"other")))
    assert store.remembered(answer.tag, NOW) == answer


def test_an_audit_number_is_taken_once(store: Store) -> None:
    case = a_case()
    entry = an_entry(case)
    store.commit(AddAudit(entry))
    with pytest.raises(Contested):
        store.commit(AddAudit(replace(entry, reason="other")))
    assert store.audit_of(case.id) == [entry]


def test_events_are_open_until_closed_oldest_first(store: Store) -> None:
    events = [an_event(a_case()) for _ in range(4)]
    for event in events:
        store.commit(AddEvent(event))
    assert store.open_events(2) == events[:2]
    store.commit(CloseEvent(events[1].id))
    store.commit(CloseEvent(events[1].id))
    assert store.open_events(10) == [events[0], *events[2:]]


def test_an_event_may_be_for_one_partner(store: Store) -> None:
    event = an_event(a_case(), 3, 12)
    narrow = replace(an_event(a_case()), partner_id=PartnerId("ptn_photos"))
    reminder = replace(narrow, id=EventId("evt_other"), type=EventType.REMOVAL_REMINDER)
    for one in (event, narrow, reminder):
        store.commit(AddEvent(one))
    assert store.open_events(10) == [event, narrow, reminder]


def test_an_event_is_found_by_its_name_while_it_is_open(store: Store) -> None:
    event, other = an_event(a_case()), an_event(a_case())
    store.commit(AddEvent(event), AddEvent(other))
    assert store.events_named([other.id, event.id, other.id]) == [other, event]
    store.commit(CloseEvent(event.id))
    assert store.events_named([event.id, other.id]) == [other]
    assert store.events_named([]) == []


def test_an_event_is_added_once(store: Store) -> None:
    event = an_event(a_case())
    store.commit(AddEvent(event))
    with pytest.raises(Contested):
        store.commit(AddEvent(replace(event, items=(2,))))
    assert store.open_events(10) == [event]


def test_a_repeated_notice_or_message_changes_nothing(store: Store) -> None:
    notice, message = a_notice(a_case()), a_message()
    store.commit(AddNotice(notice), AddMessage(message))
    store.commit(
        AddNotice(replace(notice, feedback=Feedback(Word.REMOVED, NOW))),
        AddMessage(replace(message, attempts=5)),
        AddMessage(replace(message, attempts=6)),
    )
    assert store.notice(notice.id) == notice
    assert store.message(message.id) == message
    assert store.messages() == ([message], None)


def test_a_notice_is_saved_over_its_last_version_only(store: Store) -> None:
    notice = a_notice(a_case())
    said = Feedback(Word.NOT_VIOLATING, NOW, "terms-4", automated=False, redress_url="https://a.b/")
    store.commit(AddNotice(notice))
    changed = replace(
        notice,
        feedback=said,
        delivered_at=NOW,
        deadline_at=NOW + DAY,
        late_at=NOW + DAY,
        withdrawn_at=NOW + DAY,
        version=2,
    )
    store.commit(SaveNotice(changed))
    with pytest.raises(Contested):
        store.commit(SaveNotice(replace(changed, withdrawn_at=None)))
    assert store.notice(notice.id) == changed


def test_a_message_is_saved_over_its_last_claim_only(store: Store) -> None:
    message = a_message(deadline=None, notice_id=None)
    store.commit(AddMessage(message))
    cancelled = replace(message, state=MessageState.CANCELLED, due_at=None, claim=1)
    store.commit(SaveMessage(cancelled))
    for claim in (1, 3):
        with pytest.raises(Contested):
            store.commit(SaveMessage(replace(message, claim=claim)))
    assert store.message(message.id) == cancelled


def test_a_partner_is_kept_exactly_and_saved_over_its_last_version_only(store: Store) -> None:
    partner = a_partner()
    store.commit(SavePartner(partner))
    assert store.partner(partner.id) == partner
    for version in (1, 3):
        with pytest.raises(Contested):
            store.commit(SavePartner(replace(partner, version=version, name="other")))
    changed = replace(partner, status=PartnerStatus.SUSPENDED, version=2, endpoints=(), jwks=None)
    store.commit(SavePartner(changed))
    assert store.partner(partner.id) == changed


def test_partners_come_oldest_first(store: Store) -> None:
    third, first, second = (a_partner(created_at=NOW + n * MINUTE) for n in (3, 1, 2))
    store.commit(SavePartner(third), SavePartner(first), SavePartner(second))
    assert store.partners() == (first, second, third)


def _refused(store: Store) -> list[Change]:
    """Changes that this store refuses, one of each kind."""
    case, notice, message = a_case(), a_notice(a_case()), a_message()
    partner, token, answer = a_partner(), SpendToken(os.urandom(32), NOW), Remember(an_answer())
    store.commit(AddCase(case), AddNotice(notice), AddMessage(message), SavePartner(partner))
    store.commit(token, answer)
    return [
        AddCase(replace(a_case(), key_tag=case.key_tag)),
        SaveCase(case),
        SaveNotice(notice),
        SaveMessage(message),
        SavePartner(partner),
        token,
        answer,
    ]


@pytest.mark.parametrize("place", [0, 4, 9])
def test_nothing_of_a_refused_unit_stays(store: Store, place: int) -> None:
    for refused in _refused(store):
        case, changes = a_report()
        answer, token = an_answer(), SpendToken(os.urandom(32), NOW)
        notice, message, partner = a_notice(case), a_message(), a_partner()
        events = store.open_events(100)
        changes += [Remember(answer), token, AddNotice(notice), AddMessage(message)]
        changes += [SavePartner(partner)]
        changes.insert(place, refused)
        with pytest.raises((CaseKeyTaken, AgeTokenSpent, Contested)):
            store.commit(*changes)
        assert store.case(case.id) is None
        assert not store.items(case.id)
        assert not store.audit_of(case.id)
        assert not store.notices_of(case.id)
        assert store.open_events(100) == events
        assert store.remembered(answer.tag, NOW) is None
        assert store.message(message.id) is None
        assert store.partner(partner.id) is None
        store.commit(token)


def test_a_closed_event_of_a_refused_unit_stays_open(store: Store) -> None:
    case, event = a_case(), an_event(a_case())
    store.commit(AddCase(case), AddEvent(event))
    with pytest.raises(Contested):
        store.commit(CloseEvent(event.id), SaveCase(case))
    assert store.open_events(10) == [event]


def test_the_first_refused_change_names_the_refusal(store: Store) -> None:
    case, token = a_case(), SpendToken(os.urandom(32), NOW)
    store.commit(AddCase(case), token)
    fresh = SpendToken(os.urandom(32), NOW)
    taken = AddCase(replace(a_case(), key_tag=case.key_tag))
    with pytest.raises(CaseKeyTaken):
        store.commit(fresh, taken, token)
    with pytest.raises(AgeTokenSpent):
        store.commit(fresh, token, taken)


def test_a_record_that_cannot_be_kept_harms_nobody_else(store: Store) -> None:
    case = a_case()
    with pytest.raises(Exception, match="surrogate"):
        store.commit(AddCase(case), AddAudit(an_entry(case, reason="\ud800")))
    assert store.case(case.id) is None
    store.commit(AddCase(case))


def test_a_time_without_a_zone_is_not_kept(store: Store) -> None:
    case = a_case(created_at=NOW.replace(tzinfo=None))
    with pytest.raises(TypeError):
        store.commit(AddCase(case))
    assert store.case(case.id) is None


def test_a_closed_store_says_so(store: Store) -> None:
    store.ping()
    case = a_case()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.commit(AddCase(case))
    with pytest.raises(StoreUnavailable):
        store.case(case.id)
    with pytest.raises(StoreUnavailable):
        store.ping()
    store.close()
