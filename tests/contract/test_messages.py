"""The checks that `partners` brings for any MessageStore, on the service's own stores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from app.ports import AddMessage, AddNotice, Change, SaveMessage, Store
from partners.model import Message, Notice, NoticeId
from tests.contract.messages_contract import CHECKS, Rig
from tests.contract.samples import a_case, a_notice


@dataclass
class StoreRig:
    """The ways into a store that its MessageStore part does not have."""

    store: Store

    def add(self, *messages: Message) -> None:
        for message in messages:
            changes: list[Change] = [AddMessage(message)]
            if message.notice_id is not None:
                changes.append(AddNotice(a_notice(a_case(), id=message.notice_id)))
            self.store.commit(*changes)

    def save(self, message: Message) -> None:
        self.store.commit(SaveMessage(message))

    def notice(self, notice_id: NoticeId) -> Notice | None:
        return self.store.notice(notice_id)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_message_store(store: Store, check: Callable[[Rig], None]) -> None:
    check(StoreRig(store))
