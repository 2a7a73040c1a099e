"""An operator's commands about platforms, endpoints and messages, each in a process of its own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk

from app.cli.check import write_enrolment
from app.conformance.service import Check, service_for
from app.services.catalogue import Services
from infra.sandbox.platform import Enrolment
from partners.model import DeliveryResult, MessageState, PartnerId
from partners.outbox import moved
from tests.app.services.world import HOUR, World
from tests.partners.platforms import ALLOWING, Platform, answer, echoing

ROOT = Path(__file__).parents[2]
WILLING = echoing(answer(204, headers=ALLOWING | {"WebHook-Allowed-Origin": "service.test"}))


class Operator:
    """Whoever types the commands."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.env = {n: v for n, v in os.environ.items() if not n.startswith("REPORT_REMOVE_")}
        self.env |= {
            "REPORT_REMOVE_ENVIRONMENT": "development",
            "REPORT_REMOVE_ALLOW_LOOPBACK_PARTNERS": "yes",
            "REPORT_REMOVE_DATA_DIR": str(folder / "data"),
            "REPORT_REMOVE_PUBLIC_URL": "http://service.test",
        }

    @property
    def services(self) -> Services:
        return self.world.services

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *words],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def test_a_platform_is_added_and_verified_at_once(operator: Operator) -> None:
    with Platform(WILLING, host="127.0.0.1") as server:
        made = operator.json("partner", "add", "Alpha", "--webhook", server.url)
        assert made["verified"] is True
        assert [r.method for r in server.received] == ["OPTIONS", "POST"]
        (row,) = operator.json("partner", "endpoint", "list", made["partner_id"])
    assert (row["status"], row["rate_per_minute"]) == ("active", 120)


def test_what_is_handed_over_is_the_enrolment_file(operator: Operator, tmp_path: Path) -> None:
    """The sandbox reads what the command prints, and a check writes the same members."""
    made = operator.json("partner", "add", "Alpha")
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(made))
    read = Enrolment.read(path)
    assert read.keys == (made["webhook_key"],)
    assert read.service_url == "http://service.test"
    assert (read.partner_id, read.api_key) == (made["partner_id"], made["api_key"])
    with service_for(Check("http://127.0.0.1:9/hook")) as service:
        assert service.enrolment().keys() == made.keys() - {"verified"}


def test_what_has_parts_is_handed_over_as_json(operator: Operator, tmp_path: Path) -> None:
    own = jwk.KeySet([jwk.OKPKey.generate_key("X25519", auto_kid=True)])
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(own.as_dict(private=False)))
    said = operator.run("partner", "add", "Alpha", "--jwks", str(file)).stdout
    (line,) = [line for line in said.splitlines() if line.startswith("sealing_key")]
    assert json.loads(line.removeprefix("sealing_key"))["kty"] == "OKP"


def test_the_list_says_who_is_not_told_anything_yet(operator: Operator) -> None:
    webhook = ("--webhook", "http://127.0.0.1:9/hook", "--unverified")
    operator.json("partner", "add", "Alpha", *webhook)
    made = operator.json("partner", "add", "Beta", "--policy", "uk-osa-48h")
    operator.json("partner", "endpoint", "add", made["partner_id"], "http://127.0.0.1:9/hook")
    alpha, beta = sorted(
        operator.run("partner", "list").stdout.splitlines(), key=lambda line: "Beta" in line
    )
    assert alpha.endswith("Alpha  policy none, endpoints: unverified")
    assert beta.endswith("Beta  policy uk-osa-48h, endpoints: active, unverified")


def test_wrong_usage_is_told_by_the_commands_name(operator: Operator) -> None:
    said = operator.run("partner", "add").stderr
    assert "Try 'report-remove partner add --help'" in said


def test_one_that_does_not_answer_is_added_and_told_nothing_until_verified(
    operator: Operator,
) -> None:
    with Platform(answer(403), host="127.0.0.1") as server:
        made = operator.json("partner", "add", "Alpha", "--webhook", server.url)
        assert (made["verified"], made["refusal"]) == (False, "handshake: answered 403")
        assert made["webhook_key"].startswith("whpk_")
        refused = operator.run("partner", "verify", made["partner_id"])
        assert refused.returncode == 1
        assert "handshake: answered 403" in refused.stderr
        server.behave = WILLING
        (row,) = operator.json("partner", "verify", made["partner_id"])
    assert (row["endpoint_id"], row["resumed"]) == (made["endpoint_id"], 0)


def test_unverified_means_that_nobody_is_asked(operator: Operator) -> None:
    with Platform(WILLING, host="127.0.0.1") as server:
        said = operator.run("partner", "add", "Alpha", "--webhook", server.url, "--unverified")
        assert server.received == []
    assert "gets no messages before report-remove partner verify end_" in said.stdout


def test_endpoints_are_added_filtered_paused_resumed_and_disabled(operator: Operator) -> None:
    made = operator.json("partner", "add", "Alpha")
    more = operator.json("partner", "endpoint", "add", made["partner_id"])
    end = more["endpoint_id"]
    operator.json("partner", "endpoint", "filter", end, "--event", "removal.reminder")
    assert operator.json("partner", "endpoint", "pause", end)["status"] == "paused"
    assert operator.json("partner", "endpoint", "resume", end)["resumed"] == 0
    operator.json("partner", "endpoint", "disable", end)
    rows = operator.json("partner", "endpoint", "list", made["partner_id"])
    assert [(r["status"], r["event_types"]) for r in rows] == [
        ("active", []),
        ("disabled", ["removal.reminder"]),
    ]
    for words in (("resume", end), ("pause", end), ("list", "ptn_nobody"), ("pause", "end_no")):
        assert operator.run("partner", "endpoint", *words).returncode == 1


def _failed(operator: Operator) -> str:
    """One message to a platform that was given up; its id."""
    operator.world.platform()
    operator.world.report()
    operator.world.expand()
    (message,) = operator.world.house.store.claim_due(operator.world.clock.at, 10, HOUR)
    ended = DeliveryResult(moved(message, MessageState.FAILED), None)
    operator.world.house.store.finish([ended])
    return message.id


def test_messages_are_shown_and_replayed_by_time(operator: Operator) -> None:
    message_id = _failed(operator)
    made = operator.world.clock.at
    shown = operator.json("messages", "show", message_id)
    assert (shown["state"], shown["posts"]) == ("failed", [])
    before, after = (made - HOUR).isoformat(), (made + HOUR).isoformat()
    replay = ("messages", "replay")
    assert operator.json(*replay, "--since", after) == {"replayed": 0}
    assert operator.json(*replay, "--until", before) == {"replayed": 0}
    assert operator.json(*replay, "--since", before, "--until", after) == {"replayed": 1}
    assert operator.json("messages", "show", message_id)["state"] == "pending"
    assert operator.run("messages", "show", "msg_none").returncode == 1


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("msg_1", "--all-failed"),
        ("--all-failed", "--since", "2026-05-17"),
        ("--since", "yesterday"),
        ("msg_1", "--delivered"),
    ],
)
def test_a_replay_that_says_too_much_or_too_little_is_wrong_usage(
    operator: Operator, words: tuple[str, ...]
) -> None:
    assert operator.run("messages", "replay", *words).returncode == 2


def test_a_bare_time_is_utc(operator: Operator) -> None:
    _failed(operator)
    bare = (operator.world.clock.at - HOUR).replace(tzinfo=None).isoformat()
    operator.env["TZ"] = "Pacific/Auckland"
    assert operator.json("messages", "replay", "--since", bare) == {"replayed": 1}


def test_the_keys_that_we_seal_to_are_changed(operator: Operator, tmp_path: Path) -> None:
    partner = operator.json("partner", "add", "Alpha")["partner_id"]
    file = tmp_path / "jwks.json"
    file.write_text('{"keys": []}')
    assert operator.run("partner", "jwks", partner, str(file)).returncode == 1
    assert operator.json("partner", "jwks", partner)["sealing_key"] is None
    assert operator.services.house.store.partner(PartnerId(partner)) is not None


def test_an_enrolment_file_is_private_and_never_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "enrolment.json"
    write_enrolment(path, {"api_key": "one"}, overwrite=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_enrolment(path, {"api_key": "two"}, overwrite=False)
    write_enrolment(path, {"api_key": "two"}, overwrite=True)
    assert json.loads(path.read_text()) == {"api_key": "two"}
