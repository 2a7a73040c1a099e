"""The command line, as a person and as a script use it, against a real service."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.demo.processes import free_port
from tests.journeys.processes import ROOT, Installation, Processes, clean_env, until

PHOTO = ROOT / "infra/sandbox/photos/coffee.jpg"
BAND = ("--band", "13_15")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Processes(tmp_path_factory.mktemp("installation")) as processes:
        installation = Installation(processes)
        installation.start()
        yield installation


def call(
    *arguments: str, env: dict[str, str] | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `report-remove` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        check=False,
        input=given,
        capture_output=True,
        text=True,
        env={**clean_env(), **(env or {})},
        cwd=ROOT,
        timeout=60,
    )


def answer(*arguments: str, env: dict[str, str] | None = None, given: str = "") -> Any:
    """What it printed as JSON, once it has ended well."""
    done = call(*arguments, "--json", env=env, given=given)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_case_is_submitted_opened_grown_and_withdrawn(installation: Installation) -> None:
    url = ("--url", installation.url)
    sent = answer("submit", str(PHOTO), *BAND, *url)
    assert re.fullmatch(r"(\d{4} ){3}\d{4}", sent["case_code"])
    code = ("--code-file", "-")
    opened = answer("open", *url, *code, given=sent["case_code"])
    assert (opened["state"], len(opened["items"])) == ("active", 1)
    other = PHOTO.with_name("chelsea.jpg")
    answer("add", str(other), *url, *code, given=sent["case_code"].replace(" ", "-"))
    assert len(answer("open", *url, *code, given=sent["case_code"])["items"]) == 2
    withdrawn = answer("withdraw", "--yes", *url, *code, given=sent["case_code"])
    # Nobody was told, so nobody has to forget: it may be erased before the answer is written.
    assert withdrawn["state"] in ("withdrawn", "scrubbed")
    assert withdrawn["can_change"] is False


@pytest.fixture
def two_platforms(tmp_path: Path) -> Iterator[tuple[Installation, list[str]]]:
    """A service that two platforms take part in, and their ids. Neither ever answers."""
    with Processes(tmp_path) as processes:
        installation = Installation(processes)
        webhook = f"http://127.0.0.1:{free_port()}/"
        ids = [
            str(installation.add_platform(name, webhook)["partner_id"]) for name in ("Fig", "Plum")
        ]
        installation.start()
        yield installation, ids


def test_what_is_added_is_told_to_the_platforms_of_the_case(
    two_platforms: tuple[Installation, list[str]],
) -> None:
    installation, (fig, plum) = two_platforms
    url, code = ("--url", installation.url), ("--code-file", "-")

    def report(*platforms: str) -> str:
        named = [word for platform in platforms for word in ("--platform", platform)]
        return str(answer("submit", str(PHOTO), *BAND, *named, *url)["case_code"])

    def add(case: str, *more: str) -> list[list[str]]:
        """Whom each photo of the case is told to, once another was added."""
        answer("add", str(PHOTO.with_name("chelsea.jpg")), *more, *url, *code, given=case)
        items = answer("open", *url, *code, given=case)["items"]
        return [sorted(row["name"] for row in item["platforms"]) for item in items]

    case = report(plum)
    assert add(case) == [["Plum"], ["Plum"]]
    assert add(case, "--platform", fig) == [["Plum"], ["Plum"], ["Fig"]]
    assert add(report()) == [["Fig", "Plum"], ["Fig", "Plum"]]


def test_what_is_added_goes_nowhere_when_the_case_names_nobody_who_takes_part(
    two_platforms: tuple[Installation, list[str]],
) -> None:
    installation, (fig, plum) = two_platforms
    url, code = ("--url", installation.url), ("--code-file", "-")
    case = answer("submit", str(PHOTO), *BAND, "--platform", plum, *url)["case_code"]
    answer("withdraw", "--item", "1", "--yes", *url, *code, given=case)
    done = call("add", str(PHOTO), *url, *code, given=case)
    assert (done.returncode, "--platform" in done.stderr) == (1, True)
    assert len(answer("open", *url, *code, given=case)["items"]) == 1
    answer("add", str(PHOTO), "--platform", fig, *url, *code, given=case)


def test_a_person_reads_the_code_once_and_what_to_do_next(installation: Installation) -> None:
    done = call("submit", str(PHOTO), *BAND, "--url", installation.url)
    assert "Your case code: " in done.stdout
    assert "We can't get it back for you." in done.stdout
    assert f"report-remove open --url {installation.url}\n" in done.stdout


def test_an_unknown_code_is_refused_with_the_problems_code(installation: Installation) -> None:
    done = call("open", "--json", "--url", installation.url, "--code-file", "-", given="1" * 16)
    assert done.returncode == 1
    told = json.loads(done.stderr)
    assert told["code"] == "case-not-found"
    assert told["error"].startswith("No case opens with this code.")


def test_a_platform_that_is_none_is_told_by_its_option(installation: Installation) -> None:
    done = call("submit", str(PHOTO), *BAND, "--url", installation.url, "--platform", "nope")
    assert done.returncode == 1
    assert "--platform: Does not have the documented form." in done.stderr


@pytest.mark.parametrize("code", ["", "12", "1" * 17, "abcdabcdabcdabcd"])
def test_what_is_no_code_is_said_so(installation: Installation, code: str) -> None:
    done = call("open", "--url", installation.url, "--code-file", "-", given=code)
    assert (done.returncode, "sixteen digits" in done.stderr) == (1, True)


def test_a_counsellor_who_vouches_for_another_band_is_told_which_word_is_missing(
    tmp_path: Path,
) -> None:
    key, issuers, said = (tmp_path / name for name in ("key", "issuers.toml", "said"))
    seat = ("--helpline", "helpline.example", "--audience", "young.example", "--staff", "07")
    entry = call("age", "staff-key", str(key), *seat).stdout
    issuers.write_text("format = 1\n" + entry)
    with Processes(tmp_path) as processes:
        service = Installation(processes, {"AGE_PROFILES": "counsellor-attested-v1"})
        service.start(AGE_ISSUERS_FILE=str(issuers))
        sending = processes.start(
            *("submit", "-m", "app.cli", "submit", str(PHOTO), "--url", service.url),
            *("--band", "was_under_18", "--attestation", str(said)),
        )
        until(lambda: "counsellor: " in sending.err.read_text(), "a code to read")
        code = sending.err.read_text().split("counsellor: ")[1].split()[0]
        said.write_text(call("age", "attest", str(key), *code.split("-")).stdout)
        assert sending.process.wait(30) == 1
        told = sending.err.read_text()
    assert "The age proof does not hold. It is for another age group than --band says" in told
    assert "`age attest --was`" in told


def test_without_a_service_it_says_so() -> None:
    done = call("submit", str(PHOTO), *BAND, "--url", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, "no answer" in done.stderr) == (3, True)


def test_hashing_needs_no_service_and_prints_what_would_leave() -> None:
    (item,) = answer("hash", str(PHOTO))
    assert item["kind"] == "photo"
    assert item["hashes"].keys() == {"pdq", "pdq-512", "sha256", "md5"}
    assert len(item["hashes"]["pdq"]) == 8
    assert "quality 100" in call("hash", str(PHOTO)).stdout


@pytest.mark.parametrize("content", [b"", b"not a picture", PHOTO.read_bytes()[:5000]])
def test_a_file_that_is_no_picture_is_refused_and_nothing_is_sent(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "x.jpg"
    file.write_bytes(content)
    done = call("hash", "--json", str(file))
    assert done.returncode == 4
    assert json.loads(done.stderr)["error"].startswith("x.jpg: ")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert call("hash", str(tmp_path / "none.jpg")).returncode == 4


def test_bad_settings_are_all_named(tmp_path: Path) -> None:
    env = {"REPORT_REMOVE_PORT": "x", "REPORT_REMOVE_THREADS": "0"}
    done = call("serve", env={**env, "REPORT_REMOVE_DATA_DIR": str(tmp_path)})
    assert done.returncode == 5
    assert all(name in done.stderr for name in env)
    assert list(tmp_path.iterdir()) == []


def test_settings_are_listed_with_their_defaults() -> None:
    rows = {row["name"]: row["default"] for row in answer("settings")}
    assert rows["REPORT_REMOVE_MAX_ITEMS_PER_CASE"] == "50"


def test_a_platform_is_added_listed_suspended_and_its_secrets_rotated(tmp_path: Path) -> None:
    env = {"REPORT_REMOVE_DATA_DIR": str(tmp_path / "data")}
    made = answer("partner", "add", "Picnic", "--scheme", "v1", env=env)
    assert made["api_key"].startswith("rrp_")
    assert made["webhook_key"].startswith("whsec_")
    partner = made["partner_id"]
    answer("partner", "suspend", partner, env=env)
    (row,) = answer("partner", "list", env=env)
    assert (row["name"], row["status"]) == ("Picnic", "suspended")
    answer("partner", "resume", partner, env=env)
    for secret in ("api_key", "signing_key"):
        (turned,) = answer("partner", "rotate", partner, "--secret", secret, env=env)
        assert turned["secret"] not in made.values()
    assert answer("messages", "list", env=env) == []
    assert answer("messages", "replay", "--all-failed", env=env) == {"replayed": 0}


@pytest.mark.parametrize(
    "arguments",
    [
        ("partner", "add", "X", "--webhook", "http://127.0.0.1:1/"),
        ("partner", "add", "X", "--policy", "someday"),
        ("partner", "add", " "),
        ("partner", "suspend", "ptn_nobody"),
        ("messages", "replay", "msg_nothing"),
    ],
)
def test_an_operators_slip_is_refused_in_words(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    env = {"REPORT_REMOVE_DATA_DIR": str(tmp_path)}
    answer("partner", "add", "Alpha", env=env)
    done = call(*arguments, env=env)
    assert done.returncode == 1
    assert done.stderr.startswith("report-remove: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("messages", "replay"), ("submit",)])
def test_wrong_usage_exits_with_two(arguments: tuple[str, ...]) -> None:
    assert call(*arguments).returncode == 2


@pytest.mark.parametrize(
    "command", ["hash", "submit", "add", "open", "withdraw", "serve", "partner", "messages", "demo"]
)
def test_every_command_explains_itself(command: str) -> None:
    done = call(command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout
