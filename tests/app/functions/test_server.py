"""The ordinary server over DynamoDB and KMS: API and worker in one process, then in two."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.app.functions.conftest import Cloud
from tests.journeys.calls import a_case_key, calling
from tests.journeys.processes import Installation, Processes, until
from tests.partners.platforms import Platform

CLOUD = ("STORE", "KEYS", "LIMITS", "TABLE", "LIMITS_TABLE", "KEYS_SECRET", "AGE_PROFILES")


def test_two_servers_on_one_table_take_in_and_deliver_each_report_once(
    stack: Cloud, tmp_path: Path
) -> None:
    with Platform() as platform, Processes(tmp_path) as processes:
        stack.add_platform(platform.url)
        settings = {name: stack.env[f"REPORT_REMOVE_{name}"] for name in CLOUD}
        installations = [
            Installation(processes, {**settings, "LIMITS": "memory"}) for _ in range(2)
        ]
        servers = [installation.launch() for installation in installations]
        for server in servers:
            server.wait_ready()
        keys = [a_case_key() for _ in range(6)]
        for number, key in enumerate(keys):
            with calling(installations[number % 2].port) as caller:
                assert caller.report(key).status == 201
        until(lambda: len(platform.received) >= len(keys), "all were posted")
        with calling(installations[1].port) as caller:
            assert caller.open(keys[0]).status == 200
            assert caller.withdraw(keys[0]).status == 200
        until(lambda: len(platform.received) > len(keys), "it was taken back")
        servers[0].kill()
        with calling(installations[1].port) as caller:
            assert caller.open(keys[2]).status == 200
        assert servers[1].stop() == 0
    told = Counter(request.headers["webhook-id"] for request in platform.received)
    assert set(told.values()) == {1}
    assert len(told) == len(keys) + 1
    assert not (installations[0].data / "root.key").exists()


@pytest.mark.timeout(300)  # a lease of a minute, and two starts on a machine that may be busy
def test_what_a_killed_server_held_another_delivers(stack: Cloud, tmp_path: Path) -> None:
    """The event waits in the table: nobody has expanded it when the first one dies."""
    with Platform() as platform, Processes(tmp_path) as processes:
        stack.add_platform(platform.url)
        assert stack.asked("POST", "/v1/case/open", {"case_key": a_case_key()})[0] == 404
        settings = {name: stack.env[f"REPORT_REMOVE_{name}"] for name in CLOUD}
        first = Installation(processes, settings)
        first.start()
        with calling(first.port) as caller:
            answered = caller.report(a_case_key())
            processes.running[0].kill()
        assert answered.status == 201
        Installation(processes, settings).start()
        until(lambda: bool(platform.received), "it was posted", 120)
    told = Counter(request.headers["webhook-id"] for request in platform.received)
    assert len(told) == 1
