"""A report is kept whole, once, and says nothing of its hashes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.age import AgeBasis, Presentation
from app.domain.audit import Action, unbroken
from app.domain.errors import (
    AgeRefused,
    AgeTokenSpent,
    BadReport,
    CaseKeyTaken,
    KeyReused,
    LocationRefused,
    ReportRemoveError,
    TooMuch,
    UnknownPlatform,
    UnusableHash,
)
from app.domain.report import ItemDraft
from app.services.items import open_hashes, open_location
from hashing.values import HashEntry, HashType, Pdq
from partners.events import Event
from partners.model import CaseId, PartnerId
from partners.ports import Purpose
from tests.app.services.world import (
    DAY,
    URL,
    World,
    a_case_key,
    a_digest,
    a_pdq,
    a_photo,
    a_request,
    declared,
    said,
)

TABLES = ("cases", "items", "spent_tokens", "answers", "audit", "events")


def _counts(world: World) -> dict[str, int]:
    return {table: world.count(table) for table in TABLES}


def test_a_report_is_a_case_its_items_an_audit_entry_and_one_event(world: World) -> None:
    key, first, second = a_case_key(), a_photo(), a_photo()
    answer = world.services.submit_report(key, [first, second], world.token(), a_request())
    assert said(answer) == {"received": True, "items": 2}
    assert _counts(world) == {
        "cases": 1,
        "items": 2,
        "spent_tokens": 1,
        "answers": 1,
        "audit": 1,
        "events": 1,
    }
    case = world.case(key)
    assert case.basis is AgeBasis.VERIFIED_ESTIMATE
    kept = [open_hashes(world.house, item) for item in world.house.store.items(case.id)]
    assert kept == [first.entries, second.entries]
    (event,) = world.house.store.open_events(10)
    assert isinstance(event, Event)
    assert (event.case_id, event.items) == (case.id, (1, 2))


def test_the_audit_chain_holds_from_the_first_entry_on(world: World) -> None:
    case = world.case(world.report())
    entries = world.house.store.audit_of(case.id)
    assert [entry.action for entry in entries] == [Action.REPORTED]
    assert unbroken(entries, lambda value: world.house.keys.tag(Purpose.AUDIT, value))


def test_the_same_request_gets_the_same_answer_and_is_done_once(world: World) -> None:
    key, draft, request = a_case_key(), a_photo(), a_request()
    answers = {world.services.submit_report(key, [draft], declared(), request) for _ in range(3)}
    assert len(answers) == 1
    assert _counts(world)["cases"] == 1
    assert _counts(world)["events"] == 1


def test_a_repeat_is_answered_although_its_age_proof_is_spent_and_stale(world: World) -> None:
    key, draft, request, proof = a_case_key(), a_photo(), a_request(), world.token()
    first = world.services.submit_report(key, [draft], proof, request)
    world.clock.forward(timedelta(hours=2))
    assert world.services.submit_report(key, [draft], proof, request) == first


def test_another_body_under_the_same_key_is_refused(world: World) -> None:
    request = a_request()
    world.report(request=request)
    with pytest.raises(KeyReused):
        world.report(request=replace(request, body_digest=b"another"))
    assert _counts(world)["cases"] == 1


def test_the_same_key_on_another_route_is_another_request(world: World) -> None:
    request = a_request()
    key = world.report(request=request)
    world.services.add_to_case(key, [a_photo()], replace(request, route="/v1/case/items"))
    assert world.count("items") == 2


@pytest.mark.parametrize("times", range(5))
def test_the_same_request_sent_at_once_makes_one_case_and_one_answer(
    world: World, times: int
) -> None:
    key, draft, request, proof = a_case_key(), a_photo(), a_request(), world.token()
    together = threading.Barrier(8)

    def send(_: int) -> bytes:
        together.wait()
        return world.services.submit_report(key, [draft], proof, request)

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(send, range(8)))
    assert len(answers) == 1
    assert _counts(world) == dict.fromkeys(TABLES, 1)


def test_the_same_request_through_two_processes_stores_makes_one_case(world: World) -> None:
    key, draft, request, proof = a_case_key(), a_photo(), a_request(), world.token()
    other = world.open()
    together = threading.Barrier(2)

    def send(runtime: int) -> bytes:
        services = (world.runtime, other)[runtime].services
        together.wait()
        return services.submit_report(key, [draft], proof, request)

    with ThreadPoolExecutor(2) as pool:
        answers = set(pool.map(send, range(2)))
    assert len(answers) == 1
    assert _counts(world)["cases"] == 1


def test_a_token_is_worth_one_case(world: World) -> None:
    proof = world.token()
    world.services.submit_report(a_case_key(), [a_photo()], proof, a_request())
    with pytest.raises(AgeTokenSpent):
        world.services.submit_report(a_case_key(), [a_photo()], proof, a_request())
    assert _counts(world)["cases"] == 1
    assert _counts(world)["answers"] == 1


def test_a_taken_case_key_is_refused_and_burns_nothing(world: World) -> None:
    taken, proof = world.report(), world.token()
    with pytest.raises(CaseKeyTaken):
        world.services.submit_report(taken, [a_photo()], proof, a_request())
    world.services.submit_report(a_case_key(), [a_photo()], proof, a_request())
    assert _counts(world)["spent_tokens"] == 1


FLAT = HashEntry(HashType.PDQ, Pdq(bytes(32)), 90, "original")


def _refused(world: World) -> dict[type[ReportRemoveError], list[ItemDraft]]:
    nobody = PartnerId("ptn_nobody")
    return {
        UnusableHash: [a_photo(), a_photo(entries=(FLAT,))],
        TooMuch: [a_photo()] * 51,
        UnknownPlatform: [a_photo(nobody)],
        LocationRefused: [a_photo(locations={nobody: "somewhere"})],
        BadReport: [a_photo(entries=(a_pdq(), a_pdq()))],
    }


@pytest.mark.parametrize(
    "fault", [UnusableHash, TooMuch, UnknownPlatform, LocationRefused, BadReport]
)
def test_a_refused_report_stores_nothing_and_burns_neither_token_nor_key(
    world: World, fault: type[ReportRemoveError]
) -> None:
    key, proof, request = a_case_key(), world.token(), a_request()
    with pytest.raises(fault):
        world.services.submit_report(key, _refused(world)[fault], proof, request)
    assert _counts(world) == dict.fromkeys(TABLES, 0)
    world.services.submit_report(key, [a_photo()], proof, request)
    assert _counts(world) == dict.fromkeys(TABLES, 1)


def test_poor_pictures_and_too_many_hashes_are_refused(make_world: Callable[..., World]) -> None:
    world = make_world(MAX_HASHES_PER_ITEM="3")
    with pytest.raises(UnusableHash):
        world.report(a_photo(entries=(a_pdq(quality=49),)))
    variants = tuple(a_pdq(name) for name in ("original", "flipx", "flipy", "rotate90"))
    with pytest.raises(TooMuch):
        world.report(a_photo(entries=variants))
    world.report(a_photo(entries=variants[:3]))


def test_a_profile_that_is_not_offered_is_refused(make_world: Callable[..., World]) -> None:
    world = make_world(AGE_PROFILES="jwt-age-v1")
    with pytest.raises(AgeRefused) as refused:
        world.report()
    assert refused.value.reason == "profile"
    assert _counts(world)["cases"] == 0


def test_a_platform_that_is_suspended_cannot_be_chosen(world: World) -> None:
    partner = world.platform()
    world.services.manage_partners.suspend(partner.id)
    with pytest.raises(UnknownPlatform):
        world.report(a_photo(partner.id))


def test_where_it_was_seen_opens_for_that_platform_alone(make_world: Callable[..., World]) -> None:
    world = make_world(TAKE_LOCATIONS="yes")
    one = world.platform("One", takes_location=True)
    other = world.platform("Other", takes_location=True)
    key = world.report(a_photo(locations={one.id: "https://one.test/p/17"}))
    (item,) = world.house.store.items(world.case(key).id)
    assert open_location(world.house, item, one.id) == "https://one.test/p/17"
    assert open_location(world.house, item, other.id) is None


def test_a_location_for_a_platform_that_needs_none_is_refused(
    make_world: Callable[..., World],
) -> None:
    world = make_world(TAKE_LOCATIONS="yes")
    partner = world.platform(takes_location=False)
    with pytest.raises(LocationRefused):
        world.report(a_photo(locations={partner.id: "somewhere"}))


def test_a_duplicate_gets_the_answer_of_a_new_hash_and_a_case_of_its_own(world: World) -> None:
    same = a_photo()
    request = a_request()
    first = world.services.submit_report(a_case_key(), [same], declared(), request)
    second = world.services.submit_report(a_case_key(), [same], declared(), a_request())
    assert first == second
    items = [item for case in _cases(world) for item in world.house.store.items(case)]
    assert items[0].duplicate_tag == items[1].duplicate_tag
    assert items[0].sealed_hashes != items[1].sealed_hashes
    assert world.house.store.duplicates(items[0].duplicate_tag or b"") == 2


def _cases(world: World) -> list[CaseId]:
    return [
        CaseId(case_id) for (case_id,) in world.rows("SELECT id FROM cases ORDER BY created_at, id")
    ]


def test_hashes_keys_and_places_are_not_readable_in_the_file(
    make_world: Callable[..., World],
) -> None:
    world = make_world(TAKE_LOCATIONS="yes")
    partner = world.platform(takes_location=True)
    entries = (a_pdq(), a_digest())
    request = a_request()
    key = world.report(
        a_photo(entries=entries, locations={partner.id: "user-name-17"}), request=request
    )
    world.runtime.close()  # folds the log into the file
    raw = b"".join(path.read_bytes() for path in world.database.parent.iterdir())
    for value in (
        *(entry.value.raw for entry in entries),
        *(str(entry.value).encode() for entry in entries),
        b"user-name-17",
        key,
        key.hex().encode(),
        request.key.encode(),
    ):
        assert value not in raw
    assert partner.id.encode() in raw  # the search itself finds what is there


def test_a_key_whose_time_is_over_can_be_used_again(world: World) -> None:
    request = a_request()
    world.report(request=request)
    world.clock.forward(DAY)
    world.services.purge_expired()
    world.report(request=replace(request, body_digest=b"another"))
    assert _counts(world)["cases"] == 2


def test_the_proof_must_be_for_this_service(world: World) -> None:
    proof: Presentation = replace(world.token(), url=URL + "/elsewhere")
    with pytest.raises(AgeRefused):
        world.services.submit_report(a_case_key(), [a_photo()], proof, a_request())
