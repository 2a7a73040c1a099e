"""A service moves from one machine's file to DynamoDB and KMS, works on there, and moves back."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from click.testing import CliRunner

from app.adapters.dynamodb.table import chunks
from app.bootstrap import DATABASE, ROOT_KEY
from app.cli.move_keys import export_keys, import_keys
from app.domain.age import Presentation
from app.domain.case import CaseState
from app.domain.errors import AgeTokenSpent, CaseNotFound
from app.ports import Record, Store
from app.services import move_records
from app.services.answers import RequestKey
from app.services.move_records import KINDS, Sum, export, sums_of
from app.settings import PREFIX
from partners.model import MessageState, Partner, PartnerId, Word
from partners.registry import authenticate
from tests.app.functions.conftest import Cloud
from tests.app.services.world import (
    ROUTE,
    HandClock,
    World,
    a_case_key,
    a_photo,
    a_request,
    declared,
)
from tests.app.web.running import ROOT
from tests.contract import cloud
from tests.contract.samples import DAY, a_message, a_notice, a_report, an_answer
from tests.partners.platforms import Platform, answer, in_turn

HOUR = timedelta(hours=1)
SWITCHES = ("STORE", "TABLE", "LIMITS", "LIMITS_TABLE", "KEYS", "KMS_KEY")


def silent(kind: str, count: int) -> None:
    """Told of progress, says nothing."""


@dataclass
class Lively:
    """A service that has seen everything, and what people hold who used it."""

    world: World
    alpha: Platform
    beta: Platform
    handed: dict[str, Any] = field(default_factory=dict)
    partners: list[Partner] = field(default_factory=list)
    keys: dict[str, bytes] = field(default_factory=dict)
    api_keys: list[str] = field(default_factory=list)
    token: Presentation | None = None
    request: RequestKey = field(default_factory=a_request)
    body: bytes = b""

    def live(self) -> None:
        """Cases in every state, tries that failed, a spent token, an answer, an open event."""
        world = self.world
        self._enrol()
        first, second = self.partners
        self.keys["answered"] = key = a_case_key()
        self.body = world.services.submit_report(key, [a_photo()], declared(), self.request)
        self.token = world.token()
        self.keys["token"] = a_case_key()
        asked = RequestKey("request-by-token", ROUTE, self.token.body_digest)
        world.services.submit_report(self.keys["token"], [a_photo()], self.token, asked)
        self.keys |= {name: world.report() for name in ("withdrawn", "scrubbed")}
        world.expand()
        world.post_until(lambda: all(message.attempts for message in world.messages()))
        world.say(first, key, Word.ACKNOWLEDGED)
        world.say(first, self.keys["token"], Word.REMOVED)
        for name in ("withdrawn", "scrubbed"):
            world.services.withdraw_case(self.keys[name])
        world.expand()
        for partner in (first, second):
            world.say(partner, self.keys["scrubbed"], Word.WITHDRAWN_DONE)
        self.keys["unheard"] = world.report()  # its event is open when the service stops
        assert world.case(self.keys["scrubbed"]).state is CaseState.SCRUBBED
        assert world.house.store.open_events(9)

    def _enrol(self) -> None:
        manage = self.world.services.manage_partners
        for name, platform in (("Alpha", self.alpha), ("Beta", self.beta)):
            self.handed = dict(
                manage.add(name, platform.url, "v1", "uk-osa-48h", None, takes_location=False)
            )
            partner = self.world.trusting(PartnerId(str(self.handed["partner_id"])))
            self.partners.append(partner)
            rotated = manage.rotate_api_key(partner.id, HOUR)
            self.api_keys += [str(self.handed["api_key"]), str(rotated[0]["secret"])]
        manage.rotate_signing_keys(self.partners[1].id, HOUR)


def told(platform: Platform) -> Counter[str]:
    return Counter(request.headers["webhook-id"] for request in platform.received)


@pytest.fixture
def moving(stack: Cloud, tmp_path: Path) -> Iterator[tuple[Lively, dict[str, str]]]:
    """The old service, and the settings of the new one, which has no root keys yet."""
    settings = {name: stack.env[PREFIX + name] for name in SWITCHES}
    settings["KEYS_SECRET"] = f"moved-{secrets.token_hex(6)}"
    (tmp_path / "old").mkdir()
    clock = HandClock(datetime.now(UTC))
    with (
        Platform(answer()) as alpha,
        Platform(in_turn(answer(500), answer())) as beta,
        closing(World(tmp_path / "old", clock=clock)) as world,
    ):
        lively = Lively(world, alpha, beta)
        lively.live()
        yield lively, settings


KILLED = """
import os, signal
from app.cli.main import main
from app.services.move_records import Progress

def keep(progress, path, keep=Progress.keep):
    keep(progress, path)
    os.kill(os.getpid(), signal.SIGKILL)

Progress.keep = keep
main()
"""


def run(
    settings: dict[str, str], *words: str, program: Sequence[str] = ("-m", "app.cli")
) -> subprocess.CompletedProcess[bytes]:
    """One command as an operator types it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    chosen = {PREFIX + name: value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, *program, *words],
        cwd=ROOT,
        env={**kept, **chosen},
        capture_output=True,
        timeout=120,
        check=False,
    )


def imported(settings: dict[str, str], file: Path) -> dict[str, Sum]:
    """`report-remove import`, killed as soon as some of it is there, and again to its end."""
    notes = file.with_name(file.name + ".import-progress")
    begun = run(settings, "import", str(file), program=("-c", KILLED))
    assert begun.returncode == -signal.SIGKILL, begun.stderr.decode()
    assert 0 < json.loads(notes.read_text())["offset"] < file.stat().st_size
    done = run(settings, "import", str(file), "--json")
    assert done.returncode == 0, done.stderr.decode()
    return {name: Sum(**found) for name, found in json.loads(done.stdout).items()}


def keys_command(command: Any, file: Path, settings: dict[str, str]) -> None:
    env = {PREFIX + name: value for name, value in settings.items()}
    done = CliRunner().invoke(command, [str(file)], env=env)
    assert done.exit_code == 0, done.output


def test_a_lively_service_moves_works_on_and_moves_back(
    moving: tuple[Lively, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lively, settings = moving
    monkeypatch.setattr(move_records, "PAGE", 10)
    there, old = tmp_path / "there", lively.world
    there.mkdir()
    file = tmp_path / "all.jsonl"
    written = export(old.house.store, file, silent)
    assert all(written[name].count for name in KINDS)
    keys_command(import_keys, old.database.with_name(ROOT_KEY), settings)
    assert imported(settings, file) == written
    clock = HandClock(old.clock.at)
    with closing(World(there, settings, clock, old.issuer)) as new:
        works_on(lively, new)
        new.expand()
        back = tmp_path / "back.jsonl"
        before = export(new.house.store, back, silent)
    home = {"DATA_DIR": str(tmp_path / "home/data")}
    (tmp_path / "home/data").mkdir(parents=True, mode=0o700)
    keys_command(export_keys, tmp_path / "home/data" / ROOT_KEY, settings)
    assert imported({**home, "ENVIRONMENT": "development"}, back) == before
    with closing(World(tmp_path / "home", clock=clock, issuer=old.issuer)) as last:
        assert (tmp_path / "home/data" / DATABASE).exists()
        assert sums_of(last.house.store) == before
        assert last.outcomes(lively.keys["token"])[0]["Alpha"] == "taken_down"


def works_on(lively: Lively, new: World) -> None:
    """Everything that anybody holds still works, and what was under way goes on."""
    first, second = lively.partners
    for name in ("answered", "token", "withdrawn", "scrubbed", "unheard"):
        assert new.services.open_case(lively.keys[name]).items, name
    with pytest.raises(CaseNotFound):
        new.services.open_case(a_case_key())
    again = new.services.submit_report(a_case_key(), [a_photo()], declared(), lively.request)
    assert again == lively.body
    assert lively.token is not None
    spent = RequestKey("another-request", ROUTE, lively.token.body_digest)
    with pytest.raises(AgeTokenSpent):
        new.services.submit_report(a_case_key(), [a_photo()], lively.token, spent)
    house = new.house
    for number, api_key in enumerate(lively.api_keys):
        known = authenticate(f"Bearer {api_key}", house.store, house.keys, house.clock.now())
        assert known.id == lively.partners[number // 2].id
    tried = {id_ for id_, posts in told(lively.beta).items() if posts}
    pending = {m.id for m in new.messages() if m.state is MessageState.PENDING}
    assert tried & pending, "one was tried before the move and is to be tried again"
    new.clock.forward(HOUR / 15)  # a signature is good for five minutes
    new.expand()
    new.post_until(lambda: states(new) == {MessageState.DELIVERED}, within=30)
    assert all(told(lively.beta)[id_] == 2 for id_ in tried & pending)
    new.services.withdraw_case(lively.keys["answered"])
    new.expand()
    new.post_until(lambda: states(new) == {MessageState.DELIVERED}, within=30)
    posted = told(lively.alpha) + told(lively.beta)
    assert set(posted) == {m.id for m in new.messages()}, "each under the name that it had"
    checks(lively)
    new.say(first, lively.keys["answered"], Word.WITHDRAWN_DONE)
    new.say(second, lively.keys["answered"], Word.WITHDRAWN_DONE)
    assert new.case(lively.keys["answered"]).state is CaseState.SCRUBBED


def states(world: World) -> set[MessageState]:
    return {message.state for message in world.messages()}


def checks(lively: Lively) -> None:
    """Whoever holds the webhook key of the day of enrolment reads what comes after the move."""
    last = lively.beta.received[-1]
    standardwebhooks.Webhook(lively.handed["webhook_key"]).verify(last.body, last.headers)


def many(count: int) -> Iterator[Record]:
    """Reports with a message each: `count` records of several kinds."""
    for _ in range(count // 5):
        case, _ = a_report()
        notice = a_notice(case)
        yield from (case, an_answer(), notice)
        yield from (a_message(notice_id=notice.id) for _ in range(2))


def peak_of_export(place: Path, count: int) -> int:
    """Bytes at the most while so many records are exported from DynamoDB."""
    place.mkdir()
    store: Store = cloud.a_store(place, keep_attempts=30 * DAY)
    for some in chunks(list(many(count)), 40):
        store.restore(some)
    tracemalloc.start()
    try:
        sums = export(store, place / "all.jsonl", silent)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(found.count for found in sums.values()) == count
    return peak


def test_an_export_goes_by_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(move_records, "PAGE", 50)
    small, large = (peak_of_export(tmp_path / str(n), n) for n in (250, 1_000))
    assert large < 1.5 * small
