"""What delivery does is counted, and what a person must know is logged."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from prometheus_client import generate_latest

from tests.app.services.world import HOUR, World
from tests.partners.platforms import Platform, answer, refusing_port

SECOND = timedelta(seconds=1)
ATTEMPTS = 'report_remove_delivery_attempts_total{{result="{}"}}'


def metric(world: World, sample: str) -> float:
    """The value of that line of the metrics; 0 where there is none."""
    text = generate_latest(world.runtime.context.metrics.registry).decode()
    found = [line for line in text.splitlines() if line.startswith(f"{sample} ")]
    return float(found[0].split()[-1]) if found else 0.0


@pytest.fixture
def log(world: World, monkeypatch: pytest.MonkeyPatch) -> StringIO:
    stream = StringIO()
    monkeypatch.setattr(world.runtime.context.journal, "_stream", stream)
    return stream


def events(log: StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@contextmanager
def delivering(world: World) -> Iterator[None]:
    """The engine on a thread, as the worker runs it."""
    stop, engine = threading.Event(), world.runtime.worker.engine
    thread = threading.Thread(target=engine.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        engine.wake()
        thread.join()


def test_posts_are_counted_by_result_and_their_age_on_receipt(world: World) -> None:
    with Platform(answer(204), host="127.0.0.1") as good, Platform(answer(500)) as bad:
        world.platform("Good", good.url)
        world.platform("Bad", bad.url)
        world.report()
        world.expand()
        world.clock.forward(20 * SECOND)
        world.post_until(
            lambda: all(metric(world, ATTEMPTS.format(r)) == 1 for r in ("2xx", "5xx"))
        )
    world.runtime.worker.engine.close()
    assert metric(world, "report_remove_queue_age_seconds_count") == 1
    assert metric(world, 'report_remove_queue_age_seconds_bucket{le="5.0"}') == 0
    assert metric(world, 'report_remove_queue_age_seconds_bucket{le="30.0"}') == 1


def test_an_opened_breaker_shows_by_endpoint_and_in_the_log(world: World, log: StringIO) -> None:
    with refusing_port() as port:
        partner = world.platform("Down", f"http://127.0.0.1:{port}/hook")
        (endpoint,) = partner.endpoints
        for _ in range(6):
            world.report()
        world.expand()
        gauge = f'report_remove_endpoint_breaker{{endpoint="{endpoint.id}"}}'
        world.post_until(lambda: metric(world, gauge) == 3)
    found = [e for e in events(log) if e["event"] == "breaker.opened"]
    assert [e["endpoint"] for e in found] == [endpoint.id]
    assert str(port) not in log.getvalue()
    world.runtime.worker.engine.close()


def test_a_message_given_up_is_counted_logged_and_makes_its_item_late(
    world: World, log: StringIO
) -> None:
    with Platform(answer(410), host="127.0.0.1") as gone:
        partner = world.platform("Gone", gone.url)
        key = world.report()
        world.expand()
        failed = 'report_remove_messages_failed_total{reason="endpoint-gone"}'
        world.post_until(lambda: metric(world, failed) == 1)
    world.runtime.worker.engine.close()
    assert world.outcomes(key) == [{"Gone": "sent"}]  # not on the thread that tells the others
    assert world.services.mark_late() == 1
    assert {e["event"] for e in events(log)} >= {"message.failed", "endpoint.disabled"}
    assert world.again(partner.id).endpoints[0].status == "disabled"
    assert world.outcomes(key) == [{"Gone": "late"}]


def test_the_age_of_what_waits_is_measured_for_each_partner(world: World) -> None:
    pull, push = world.platform("Pull", None), world.platform("Push")
    world.report()
    world.expand()
    world.clock.forward(HOUR)
    world.services.measure_queue()
    oldest = 'report_remove_oldest_undelivered_seconds{{partner="{}"}}'
    assert metric(world, oldest.format(pull.id)) == metric(world, oldest.format(push.id)) == 3600
    assert metric(world, "report_remove_oldest_due_seconds") == 3600
    world.deliver()
    world.services.measure_queue()
    assert metric(world, oldest.format(push.id)) == 0
    assert metric(world, oldest.format(pull.id)) == 3600
    assert metric(world, "report_remove_oldest_due_seconds") == 0


def test_an_endpoint_that_is_disabled_lets_the_others_be_told(world: World) -> None:
    with Platform(answer(410)) as gone, Platform(answer(204), host="127.0.0.1") as good:
        world.platform("Gone", gone.url)
        world.platform("Good", good.url)
        with delivering(world):
            for _ in range(5):
                world.report()
                world.expand()
                world.runtime.worker.engine.wake()
            until = threading.Event()
            for _ in range(1000):
                if len(good.received) == 5:
                    break
                until.wait(0.02)
    assert len(good.received) == 5
