"""One report, from a photograph on a device to the day on which nothing of it is left."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.bootstrap import build
from app.client.case_code import case_key, new_code
from app.client.service import Refused, Service, encode, report_body
from app.demo.others import OTHERS
from app.settings import Settings
from tests.journeys.calls import a_case_key
from tests.journeys.processes import ROOT, Installation, Processes, Running, clean_env, until
from tests.journeys.sandbox import (
    PHOTOS,
    Platform,
    enrol,
    hashed,
    proof,
    start_issuer,
    start_platform,
)

PATIENT = pytest.mark.timeout(300)  # three processes start, and wait for each other
PHOTO, ANOTHER, EDITED = (PHOTOS / name for name in ("chelsea.jpg", "coffee.jpg", "hubble.jpg"))


@dataclass
class Story:
    """The people and machines of it."""

    installation: Installation
    running: Running
    issuer: Running
    picnic: Platform  # sealed messages, signed with v1a
    postcard: Platform  # thin messages, signed with v1
    key: str = ""

    @property
    def service(self) -> Service:
        return Service(self.installation.url)

    def case(self) -> dict[str, Any]:
        return self.service.open(self.key)

    def words(self) -> list[dict[str, str]]:
        """What the young person reads, photo by photo."""
        return [
            {row["name"]: row["words"] for row in item["platforms"]}
            for item in self.case()["items"]
        ]

    def reads(self, *photos: dict[str, str]) -> None:
        """Wait until that is what the young person reads."""
        until(lambda: self.words() == list(photos), f"the case says {photos}")


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with Processes(tmp_path) as processes:
        picnic_has = {"a-copy.jpg": PHOTO, "rocket.jpg": PHOTOS / "rocket.jpg"}
        postcard_has = {"cup.jpg": ANOTHER, "edited.jpg": EDITED}
        picnic = start_platform(processes, "Picnic", picnic_has, sealed=True)
        postcard = start_platform(processes, "Postcard", postcard_has, sealed=False)
        issuer, trust = start_issuer(processes)
        installation = Installation(processes, {"AGE_ISSUERS_FILE": str(trust)})
        running = installation.start()
        enrol(installation, picnic)
        enrol(installation, postcard)
        yield Story(installation, running, issuer, picnic, postcard)


def test_the_whole_story(story: Story) -> None:
    _a_photo_is_reported(story)
    _both_platforms_answer(story)
    _another_photo_is_added(story)
    _an_edited_copy_turns_up(story)
    _it_is_taken_back(story)
    _nothing_can_be_added_any_more(story)
    _our_hashes_are_gone_and_the_case_still_opens(story)
    _in_the_end_nothing_is_left(story)


def _a_photo_is_reported(story: Story) -> None:
    code = new_code()
    story.key = case_key(code, story.service.challenge()["case_key"])
    items = [{"kind": "photo", "hashes": hashed(PHOTO)}]
    body = report_body(story.key, "jwt-age-v1", "13_15", items)
    headers = proof(story.issuer, story.service, body)
    assert story.service.send("/v1/reports", body, headers) == {"received": True, "items": 1}
    assert story.case()["age_basis"] == "verified_estimate"
    assert code.replace(" ", "") not in body.decode()


def _both_platforms_answer(story: Story) -> None:
    story.reads({"Picnic": "Taken down", "Postcard": "Not found so far"})
    assert story.picnic.listed() == ["rocket.jpg"]
    assert story.postcard.listed() == ["cup.jpg", "edited.jpg"]


def _another_photo_is_added(story: Story) -> None:
    items = [{"kind": "photo", "hashes": hashed(ANOTHER)}]
    story.service.send("/v1/case/items", encode({"case_key": story.key, "items": items}), {})
    story.reads(
        {"Picnic": "Taken down", "Postcard": "Not found so far"},
        {"Picnic": "Not found so far", "Postcard": "Taken down"},
    )
    assert story.postcard.listed() == ["edited.jpg"]


def _an_edited_copy_turns_up(story: Story) -> None:
    """The first photo gets more hashes; who did not find it looks again (removal.updated)."""
    items = [{"kind": "photo", "hashes": hashed(EDITED), "extends": 1}]
    story.service.send("/v1/case/items", encode({"case_key": story.key, "items": items}), {})
    story.reads(
        {"Picnic": "Taken down", "Postcard": "Taken down"},
        {"Picnic": "Not found so far", "Postcard": "Taken down"},
    )
    assert story.postcard.listed() == []
    told = _rows(story, "SELECT event_type, count(*) FROM messages GROUP BY 1 ORDER BY 1")
    assert told == [("removal.requested", 4), ("removal.updated", 2)]


def _it_is_taken_back(story: Story) -> None:
    case = story.service.withdraw(story.key)
    assert (case["state"] in ("withdrawn", "scrubbed"), case["can_change"]) == (True, False)
    forgot = {"Picnic": "They say they forgot it", "Postcard": "They say they forgot it"}
    story.reads(forgot, forgot)
    assert story.picnic.listed() == ["a-copy.jpg", "rocket.jpg"]
    assert story.postcard.listed() == ["cup.jpg", "edited.jpg"]


def _nothing_can_be_added_any_more(story: Story) -> None:
    items = [{"kind": "photo", "hashes": hashed(PHOTO)}]
    body = encode({"case_key": story.key, "items": items})
    with pytest.raises(Refused) as refused:
        story.service.send("/v1/case/items", body, {})
    assert refused.value.code == "case-withdrawn"


def _our_hashes_are_gone_and_the_case_still_opens(story: Story) -> None:
    until(lambda: story.case()["state"] == "scrubbed", "our hashes are erased")
    sealed = _rows(story, "SELECT sealed_hashes, sealed_locations, duplicate_tag FROM items")
    assert sealed == [(None, None, None)] * 2
    assert story.case()["can_change"] is False


def _in_the_end_nothing_is_left(story: Story) -> None:
    assert story.running.stop() == 0
    _sweep(story, timedelta(days=29))
    assert _rows(story, "SELECT state FROM cases") == [("scrubbed",)]
    _sweep(story, timedelta(days=31))
    for table in ("cases", "items", "notices", "messages", "attempts", "events"):
        assert _rows(story, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - a constant
    story.running = story.installation.start()
    assert _refusal(story, story.key) == _refusal(story, a_case_key()) == (404, "case-not-found")


def _sweep(story: Story, later: timedelta) -> None:
    """What the service's sweeper does on that day."""

    class Then:
        def now(self) -> datetime:
            return datetime.now(UTC) + later

    runtime = build(Settings.from_env(story.installation.env()), Then())
    try:
        while runtime.services.purge_expired():
            pass
    finally:
        runtime.close()


def _refusal(story: Story, key: str) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        story.service.open(key)
    return refused.value.status, refused.value.code


def _rows(story: Story, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(story.installation.database)) as connection:
        return connection.execute(query).fetchall()


def _demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "demo", "--once", *arguments],
        cwd=ROOT,
        env=clean_env(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@PATIENT
def test_the_demonstration_walks_to_its_end() -> None:
    walked = _demo()
    assert walked.returncode == 0, walked.stderr
    for step in ("Taken down", "Not found so far", "takes the case back", "forgot it"):
        assert step in walked.stdout


@PATIENT
def test_the_demonstration_fails_where_a_platform_answers_otherwise(tmp_path: Path) -> None:
    """Postcard holds this picture too, so 'Not found so far' never comes."""
    mine = tmp_path / "mine.jpg"
    mine.write_bytes((PHOTOS / OTHERS[0]).read_bytes())
    walked = _demo("--photo", str(mine))
    assert walked.returncode == 1
    assert "both platforms answer" in walked.stderr
    assert "takes the case back" not in walked.stdout


@PATIENT
def test_the_demonstration_fails_where_the_report_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    Image.new("RGB", (400, 300), (90, 120, 150)).save(plain)
    walked = _demo("--photo", str(plain))
    assert walked.returncode == 1
    assert "Traceback" not in walked.stderr
    assert "Taken down" not in walked.stdout
