"""One age token, sent at once through two processes, opens one case."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.client.service import Service, report_body
from app.demo.processes import free_port
from app.services.catalogue import Services
from tests.adapters.age.documents import Papers
from tests.journeys.ages import Proof
from tests.journeys.calls import Said, a_case_key, a_key, a_photo, calling
from tests.journeys.documents import PROFILES, Authorities
from tests.journeys.processes import Installation, Processes, Running
from tests.journeys.sandbox import start_issuer

TIMES = 40
SPENT = "age-token-spent"
TAKEN = "case-key-taken"
OFFERED = (*PROFILES, "declared-v1")
# Those whose token is not bound to a body before it is signed: it could go with two reports.
LOOSE = ("pp-under18-v1", "jwt-age-v1")


@dataclass(frozen=True)
class Attempt:
    """A report with its proof, ready to be sent any number of times."""

    body: bytes
    headers: dict[str, str]

    def send(self, port: int, key: str) -> Said:
        with calling(port) as caller:
            headers = {**self.headers, "Idempotency-Key": key}
            return caller.call("POST", "/v1/reports", self.body, headers)


@dataclass(frozen=True)
class Token:
    """A proof of age of one profile, in the hands of one young person."""

    profile: str
    proof: Proof

    def report(self, *items: dict[str, Any], case_key: str = "") -> Attempt:
        """A report of a new case with this proof."""
        body = report_body(case_key or a_case_key(), self.profile, "13_15", items or (a_photo(),))
        return Attempt(body, self.proof(body))


@dataclass
class Pair:
    """Two processes of one service on one data folder, and whom both trust."""

    installation: Installation
    issuer: Running
    authorities: Authorities
    ports: list[int] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)

    def start(self) -> None:
        """Both at once, on an empty folder the first time."""
        self.ports = [free_port(), free_port()]
        self.running = [self.installation.launch(PORT=str(port)) for port in self.ports]
        for running in self.running:
            running.wait_ready()

    def stop(self) -> None:
        assert [running.stop() for running in self.running] == [0, 0]

    def token(self, profile: str = "jwt-age-v1") -> Token:
        """A fresh one, for a fresh device."""
        challenge = Service(f"http://127.0.0.1:{self.ports[0]}").challenge()
        where = self.issuer.facts["url"]
        return Token(
            profile, self.authorities.proof(profile, challenge, self.installation.url, where)
        )

    def at_once(self, *sent: tuple[Attempt, str]) -> list[Said]:
        """The answers to these, each under its key, in turn through one process and the other."""
        together = threading.Barrier(len(sent))

        def send(number: int) -> Said:
            attempt, key = sent[number]
            together.wait()
            return attempt.send(self.ports[number % 2], key)

        with ThreadPoolExecutor(len(sent)) as pool:
            return list(pool.map(send, range(len(sent))))

    def purge(self, case_key: str) -> None:
        """What retention does to a case in the end."""

        def purge(services: Services) -> None:
            house = services.house
            case = house.store.case_by_key(house.case_tag(bytes.fromhex(case_key)))
            assert case is not None
            house.store.purge_case(case.id)

        self.installation.acting(purge)

    def count(self, table: str) -> int:
        with closing(sqlite3.connect(self.installation.database)) as connection:
            query = f"SELECT count(*) FROM {table}"  # noqa: S608 - a constant
            return int(connection.execute(query).fetchone()[0])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with Processes(tmp_path) as processes:
        issuer, trust = start_issuer(processes)
        (folder := tmp_path / "papers").mkdir()
        authorities = Authorities(papers=Papers(folder))
        trust.write_text(trust.read_text() + authorities.entries())
        settings = {"AGE_ISSUERS_FILE": str(trust), "AGE_PROFILES": ",".join(OFFERED)}
        pair = Pair(Installation(processes, settings), issuer, authorities)
        pair.start()
        yield pair


@pytest.mark.timeout(300)
def test_two_reports_with_one_token_at_two_processes_are_one_case(pair: Pair) -> None:
    """Sent until each process has come first: one of them may do so nine times in ten."""
    won: Counter[int] = Counter()
    number = 0
    while number < TIMES or (len(won) < 2 and number < 10 * TIMES):
        number += 1
        token = pair.token(LOOSE[number % 2])
        answers = pair.at_once((token.report(), a_key()), (token.report(), a_key()))
        assert sorted(answer.status for answer in answers) == [201, 401]
        assert {answer.code for answer in answers} == {None, SPENT}
        assert pair.count("cases") == pair.count("spent_tokens") == number
        won[[answer.status for answer in answers].index(201)] += 1
    assert pair.count("audit") == pair.count("answers") == number
    assert set(won) == {0, 1}, "one process always came first: this was no race"


def test_one_report_under_two_keys_at_two_processes_is_one_case(pair: Pair) -> None:
    for number in range(1, TIMES + 1):
        report = pair.token(PROFILES[number % len(PROFILES)]).report()
        answers = pair.at_once((report, a_key()), (report, a_key()))
        assert min(answer.status for answer in answers) == 201
        (refused,) = [answer for answer in answers if answer.status != 201]
        assert refused.code in (SPENT, TAKEN)
        assert pair.count("cases") == pair.count("spent_tokens") == number


def test_one_report_under_one_key_at_two_processes_gets_one_answer(pair: Pair) -> None:
    for number in range(1, TIMES + 1):
        report, key = pair.token().report(), a_key()
        answers = pair.at_once(*[(report, key)] * 4)
        assert {answer.status for answer in answers} == {201}
        assert len({answer.body for answer in answers}) == 1
        assert pair.count("cases") == number


def test_a_proof_is_worth_nothing_with_another_report(pair: Pair) -> None:
    """What a thief of both headers would send: the body is bound into the proof."""
    report = pair.token().report()
    stolen = Attempt(pair.token().report().body, report.headers)
    assert stolen.send(pair.ports[1], a_key()).code == "age-refused"
    assert report.send(pair.ports[0], a_key()).status == 201
    assert pair.count("cases") == 1


def test_a_proof_moved_to_another_report_opens_nothing(pair: Pair) -> None:
    """A bound one is refused for the body; a loose one has been spent."""
    for number, profile in enumerate(PROFILES, start=1):
        report = pair.token(profile).report()
        assert report.send(pair.ports[0], a_key()).status == 201
        moved = Attempt(report.body.replace(b"13_15", b"16_17"), report.headers)
        assert moved.send(pair.ports[1], a_key()).code in ("age-refused", SPENT, TAKEN)
        stolen = Attempt(pair.token(profile).report().body, report.headers)
        wanted = SPENT if profile == "pp-under18-v1" else "age-refused"
        assert stolen.send(pair.ports[1], a_key()).code == wanted
        assert pair.count("cases") == number


def test_a_spent_token_stays_spent_over_a_restart(pair: Pair) -> None:
    tokens = [pair.token(profile) for profile in PROFILES]
    first = [token.report() for token in tokens]
    for report in first:
        assert report.send(pair.ports[0], a_key()).status == 201
    pair.stop()
    pair.start()
    for token, report in zip(tokens, first, strict=True):
        for port in pair.ports:
            assert report.send(port, a_key()).code in (SPENT, TAKEN)
            if token.profile in LOOSE:
                assert token.report().send(port, a_key()).code == SPENT
    assert pair.count("cases") == pair.count("spent_tokens") == len(PROFILES)


def test_a_token_outlives_its_case(pair: Pair) -> None:
    """While the case is there its key refuses a repeat too: only without it the token is asked."""
    for number, profile in enumerate(PROFILES, start=1):
        token, case_key = pair.token(profile), a_case_key()
        report = token.report(case_key=case_key)
        assert report.send(pair.ports[0], a_key()).status == 201
        pair.purge(case_key)
        shown_anew = Attempt(report.body, token.proof(report.body))
        sent = [(attempt, a_key()) for attempt in (report, shown_anew) for _ in pair.ports]
        assert [answer.code for answer in pair.at_once(*sent)] == [SPENT] * 4
        assert (pair.count("cases"), pair.count("spent_tokens")) == (0, number)


def test_a_case_that_is_rolled_back_burns_no_token(pair: Pair) -> None:
    """The commit fails after the proof was taken: the case key belongs to somebody else."""
    case_key = a_case_key()
    with calling(pair.ports[0]) as caller:
        assert caller.report(case_key).status == 201
    for number, profile in enumerate(PROFILES, start=1):
        token = pair.token(profile)
        report = token.report(case_key=case_key)
        for port in pair.ports:
            assert report.send(port, a_key()).code == TAKEN
        assert pair.count("spent_tokens") == number - 1
        assert token.report().send(pair.ports[1], a_key()).status == 201
        assert pair.count("spent_tokens") == number
    assert pair.count("cases") == 1 + len(PROFILES)


def test_a_refused_report_does_not_burn_its_token(pair: Pair) -> None:
    for number, profile in enumerate(LOOSE, start=1):
        token = pair.token(profile)
        flat, nowhere = a_photo("0" * 64), a_photo(platforms=["ptn_nobody"])
        assert token.report(flat).send(pair.ports[0], a_key()).code == "hash-unusable"
        assert token.report(nowhere).send(pair.ports[1], a_key()).code == "platform-unknown"
        assert pair.count("spent_tokens") == number - 1
        assert token.report().send(pair.ports[1], a_key()).status == 201
        assert token.report().send(pair.ports[0], a_key()).code == SPENT
        assert pair.count("cases") == number
