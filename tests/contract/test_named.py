"""What is read together is what would be read one by one."""

from __future__ import annotations

import os

from app.ports import AddAudit, AddCase, AddNotice, CaseFile, PutItem, SavePartner, Store
from partners.model import CaseId, NoticeId, PartnerId
from tests.contract.samples import a_case, a_notice, a_partner, an_entry, an_item


def test_items_come_each_with_its_own_case(store: Store) -> None:
    one, other = a_case(), a_case()
    store.commit(AddCase(one), *(PutItem(an_item(one, number)) for number in (1, 2, 3)))
    store.commit(AddCase(other), PutItem(an_item(other)))
    names = [(other.id, 1), (one.id, 3), (one.id, 1), (one.id, 3)]
    found = store.items_named(names)
    assert list(found) == [(other.id, 1), (one.id, 3), (one.id, 1)]
    for (case_id, number), (case, item) in found.items():
        assert case == store.case(case_id)
        assert item == store.items(case_id)[number - 1]


def test_items_that_are_not_there_are_left_out(store: Store) -> None:
    case = a_case()
    store.commit(AddCase(case), PutItem(an_item(case)))
    assert list(store.items_named([(case.id, 2), (CaseId("case_none"), 1)])) == []
    assert list(store.items_named([(case.id, 2), (case.id, 1)])) == [(case.id, 1)]
    assert store.items_named([]) == {}


def test_more_rows_than_one_call_holds_are_all_found(store: Store) -> None:
    cases = [a_case() for _ in range(120)]
    for case in cases:
        store.commit(AddCase(case), PutItem(an_item(case)), AddNotice(a_notice(case)))
    assert len(store.items_named((case.id, 1) for case in cases)) == 120
    names = [notice.id for case in cases for notice in store.notices_of(case.id)]
    assert sorted(store.notices_named(names)) == sorted(names)


def test_notices_and_partners_are_found_by_their_names(store: Store) -> None:
    case = a_case()
    notices = [a_notice(case), a_notice(case, item_number=2)]
    partners = [a_partner(), a_partner()]
    store.commit(AddCase(case), *map(AddNotice, notices), *map(SavePartner, partners))
    some = store.notices_named([NoticeId("itm_none"), *(notice.id for notice in notices)] * 2)
    assert some == {notice.id: store.notice(notice.id) for notice in notices}
    found = store.partners_named([PartnerId("ptn_none"), *(one.id for one in partners)] * 2)
    assert found == {one.id: store.partner(one.id) for one in partners}
    assert None not in [*some.values(), *found.values()]
    assert not store.notices_named([])
    assert not store.partners_named([])


def test_a_file_holds_the_case_its_items_and_its_notices(store: Store) -> None:
    case = a_case()
    store.commit(AddCase(case), PutItem(an_item(case, 2)), PutItem(an_item(case, 1)))
    store.commit(*(AddNotice(a_notice(case, item_number=n)) for n in (2, 1)))
    store.commit(AddNotice(a_notice(case, partner_id=PartnerId("ptn_chat"))))
    store.commit(AddAudit(an_entry(case)))
    found = store.file_by_key(case.key_tag)
    assert found == CaseFile(case, store.items(case.id), store.notices_of(case.id))
    assert [item.number for item in found.items] == [1, 2]
    assert len(found.notices) == 3


def test_no_key_no_file(store: Store) -> None:
    case = a_case()
    store.commit(AddCase(case), PutItem(an_item(case)))
    assert store.file_by_key(os.urandom(32)) is None
    store.purge_case(case.id)
    assert store.file_by_key(case.key_tag) is None
