"""Sandboxes that work on the same records at the same time, as Lambda may have them do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from app.functions import relay, sender
from tests.app.functions.conftest import Cloud
from tests.app.functions.reporting import report, told
from tests.journeys.calls import a_case_key
from tests.partners.platforms import Platform

MINUTE = timedelta(minutes=1)


def test_relays_and_senders_at_once_post_each_message_once(stack: Cloud) -> None:
    with Platform() as platform:
        stack.add_platform(platform.url)
        for _ in range(3):
            report(stack, a_case_key(), photos=3)
        names = relay.event_ids(stack.records())
        relays = [relay._relay.__wrapped__() for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda one: one.named(names), relays))
        assert stack.operator().store.open_events(10) == []
        batch = stack.take(stack.first) + stack.take(stack.first)
        senders = [sender._sending.__wrapped__() for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            failed = list(pool.map(lambda one: one(batch, MINUTE), senders))
    assert failed == [[], [], []]
    assert len(told(platform)) == 9
    assert set(told(platform).values()) == {1}
