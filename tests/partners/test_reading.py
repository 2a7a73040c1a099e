"""What a batch of messages is made of is read together, and posted when all of it is made."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from partners.model import Message, MessageState, Partner, PartnerId
from partners.ports import Payload
from tests.partners.conftest import MakeSender
from tests.partners.engines import Rig
from tests.partners.memory import MadePayloads, MemoryPartners
from tests.partners.platforms import Platform

MINUTE = timedelta(minutes=1)


@dataclass
class _Listed(MadePayloads):
    """Remembers what was read together."""

    read: list[list[Message]] = field(default_factory=list)

    def together(self, messages: Sequence[Message] = ()) -> MadePayloads:
        self.read += [list(messages)] if messages else []
        return self


class _Damaged(MadePayloads):
    """One of them cannot be read, and so neither can all together."""

    def together(self, messages: Sequence[Message] = ()) -> MadePayloads:
        if messages:
            raise KeyError("state")
        return self


class _Asked(MemoryPartners):
    """Counts the calls."""

    calls = 0

    def partners_named(self, ids: Iterable[PartnerId]) -> dict[PartnerId, Partner]:
        found = super().partners_named(ids)
        self.calls += bool(found)
        return found

    def partner(self, partner_id: PartnerId) -> Partner | None:
        self.calls += 1
        return super().partner(partner_id)


@pytest.fixture
def rig(make_sender: MakeSender) -> Rig:
    return Rig(make_sender())


def sent(rig: Rig, messages: list[Message]) -> list[MessageState]:
    stored = rig.engine().deliver([m.id for m in messages], rig.clock.now() + MINUTE)
    return [message.state for message in stored]


def test_a_batch_is_read_in_one_go(rig: Rig, certificate: Path) -> None:
    rig.payloads, rig.partners = _Listed(), _Asked()
    with Platform(certificate=certificate) as platform:
        partners = [rig.enrol(platform.url)[0] for _ in range(3)]
        messages = [message for partner in partners for message in rig.tell(partner)]
        assert sent(rig, messages) == [MessageState.DELIVERED] * 3
    (read,) = rig.payloads.read
    assert [m.id for m in read] == [m.id for m in messages]
    assert rig.partners.calls == 1


def test_what_cannot_be_read_together_is_read_one_by_one(rig: Rig, certificate: Path) -> None:
    bad: set[str] = set()

    def made(message: Message) -> Payload:
        if message.id in bad:
            raise KeyError("state")
        return Payload({"item_id": message.notice_id})

    rig.payloads = _Damaged(made)
    with Platform(certificate=certificate) as platform:
        messages = rig.tell(rig.enrol(platform.url)[0], 3)
        bad.add(messages[1].id)
        states = sent(rig, messages)
    told = {request.headers["webhook-id"] for request in platform.received}
    assert told == {messages[0].id, messages[2].id}
    assert sorted(states) == ["delivered", "delivered", "pending"]


def test_a_try_begins_when_it_is_posted(rig: Rig, certificate: Path) -> None:
    """Else those made first would seem slow, and their answers not be stored with the others'."""

    def made(message: Message) -> Payload:
        time.sleep(0.1)
        return Payload({"item_id": message.notice_id})

    rig.payloads = MadePayloads(made)
    with Platform(certificate=certificate) as platform:
        messages = [rig.tell(rig.enrol(platform.url)[0])[0] for _ in range(3)]
        before = rig.clock.now()
        assert sent(rig, messages) == [MessageState.DELIVERED] * 3
    for message in messages:
        (attempt,) = rig.store.attempts(message.id)
        assert attempt.started_at - before >= timedelta(seconds=0.3)
