"""An answer does not tell who asks for what was there once, or for what is there already."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.bootstrap import build
from app.settings import Settings
from tests.journeys.calls import Caller, Said, a_case_key, a_pdq, a_photo, calling
from tests.journeys.processes import Installation, Processes
from tests.journeys.timing import (
    TIMES,
    Difference,
    Pairs,
    difference,
    measure,
    persistent,
    rank_biserial,
)

TRIES = 2000
WARM_UP = 150
POOL = 100  # keys and hashes of each kind, asked for in turn
LEAK = 0.0005  # seconds


# ---- the statistic itself ------------------------------------------------------------------------


def _try(rng: random.Random) -> float:
    """A request's time on a busy machine: some milliseconds, with a long tail."""
    return 0.003 + rng.lognormvariate(-7, 0.8) + (rng.expovariate(80) if rng.random() < 0.15 else 0)


def _pairs(seed: int, leak: float) -> Pairs:
    rng = random.Random(seed)
    return [(_try(rng) + leak, _try(rng)) for _ in range(TRIES)]


def test_rank_biserial_is_what_counting_gives() -> None:
    rng = random.Random(5)
    for _ in range(50):
        first = [rng.randrange(6) for _ in range(rng.randrange(1, 12))]
        second = [rng.randrange(6) for _ in range(rng.randrange(1, 12))]
        counted = sum((a > b) - (a < b) for a in first for b in second)
        assert rank_biserial(first, second) == counted / (len(first) * len(second))
    assert rank_biserial([2, 3], [0, 1]) == 1
    assert rank_biserial([0, 1], [2, 3]) == -1


def test_equal_kinds_show_no_difference() -> None:
    seen = [difference(_pairs(seed, 0)) for seed in range(40)]
    assert [str(found) for found in seen if found.shows] == []


def test_half_a_millisecond_shows_each_time_and_in_both_directions() -> None:
    for seed in range(20):
        slower, faster = difference(_pairs(seed, LEAK)), difference(_pairs(seed, -LEAK))
        assert (slower.shows, faster.shows) == (True, True)
        assert slower.r > 0 > faster.r


def test_half_a_millisecond_shows_through_ten_times_the_noise() -> None:
    rng = random.Random(3)
    pairs = [
        (0.003 + rng.expovariate(250) + LEAK, 0.003 + rng.expovariate(250)) for _ in range(TRIES)
    ]
    assert difference(pairs).shows


def test_one_measurement_that_is_deceived_is_not_believed() -> None:
    looks = iter([_pairs(1, LEAK), _pairs(2, 0)])
    assert [found.shows for found in persistent(lambda: next(looks))] == [True, False]
    assert all(found.shows for found in persistent(lambda: _pairs(1, LEAK)))


# ---- the service ---------------------------------------------------------------------------------


@dataclass
class Asked:
    """A service with cases that were purged; `dark` values begin with 0 to 7, others do not."""

    installation: Installation
    purged: list[str]
    unknown: list[str]


def _dark(value: str) -> str:
    return "0" + value[1:]


def _bright(value: str) -> str:
    return "f" + value[1:]


@contextmanager
def _service(folder: Path, leak: float | None = None) -> Iterator[Asked]:
    with Processes(folder) as processes:
        installation = Installation(processes)
        if leak is None:
            installation.start()
        else:
            command = ["-m", "tests.journeys.delayed", str(leak), "serve", "--json"]
            processes.start("delayed", *command, **installation.env()).wait_ready()
        purged = [_dark(a_case_key()) for _ in range(POOL)]
        unknown = [_bright(a_case_key()) for _ in range(POOL)]
        with calling(installation.port) as caller:
            for key in purged:
                assert caller.report(key).status == 201
                assert caller.withdraw(key).status == 200
        _purge(installation)
        yield Asked(installation, purged, unknown)


def _purge(installation: Installation) -> None:
    """What the sweeper does in three months."""

    class Then:
        at = datetime.now(UTC)

        def now(self) -> datetime:
            return self.at

    clock = Then()
    runtime = build(Settings.from_env(installation.env()), clock)
    try:
        for _ in range(3):
            clock.at += timedelta(days=31)
            while runtime.services.purge_expired():
                pass
        assert runtime.store.cases_to_sweep(clock.at + timedelta(days=3650), 1) == []
    finally:
        runtime.close()


def _seen(answer: Said) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All that an answer shows but the time of day."""
    return answer.status, answer.body, [h for h in answer.headers if h[0] != "Date"]


def test_a_purged_cases_key_is_answered_like_one_never_used(tmp_path: Path) -> None:
    with _service(tmp_path) as asked, calling(asked.installation.port) as caller:
        acts: list[Callable[[str], Said]] = [
            caller.open,
            caller.withdraw,
            lambda key: caller.call(
                "POST",
                "/v1/case/items",
                {"case_key": key, "items": [a_photo()]},
                {"Idempotency-Key": secrets.token_urlsafe(24)},
            ),
        ]
        for act in acts:
            answers = {repr(_seen(act(key))) for key in [*asked.purged[:5], *asked.unknown[:5]]}
            assert len(answers) == 1
            assert act(asked.purged[0]).code == "case-not-found"
        # And the key is free again, as one never used is.
        assert caller.report(asked.purged[0]).status == caller.report(asked.unknown[0]).status


def test_a_duplicate_is_answered_like_a_new_hash(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        installation = Installation(processes)
        installation.start()
        known = a_pdq()
        with calling(installation.port) as caller:
            caller.report(a_case_key(), a_photo(known))
            answers = [
                caller.report(a_case_key(), a_photo(value)) for value in (known, a_pdq(), known)
            ]
            assert {answer.status for answer in answers} == {201}
            assert len({repr(_seen(answer)) for answer in answers}) == 1
            added = [
                caller.call(
                    "POST",
                    "/v1/case/items",
                    {"case_key": key, "items": [a_photo(value)]},
                    {"Idempotency-Key": secrets.token_urlsafe(24)},
                )
                for value in (known, a_pdq())
                if caller.report(key := a_case_key()).status == 201
            ]
            assert len({repr(_seen(answer)) for answer in added}) == 1


def _opening(asked: Asked, caller: Caller) -> Pairs:
    """Purged first, unknown second."""
    return measure(
        lambda number: caller.open(asked.purged[number % POOL]),
        lambda number: caller.open(asked.unknown[number % POOL]),
        TRIES,
        WARM_UP,
    )


def _reporting(asked: Asked, caller: Caller) -> Pairs:
    """Duplicates first, new hashes second. What is sent is made before the clock starts."""
    count = TRIES + WARM_UP
    known = [_dark(a_pdq()) for _ in range(POOL)]
    for value in known:
        caller.report(a_case_key(), a_photo(value))
    new = [_bright(a_pdq()) for _ in range(count)]
    keys = iter([a_case_key() for _ in range(2 * count)])

    def send(value: str) -> None:
        assert caller.report(next(keys), a_photo(value)).status == 201

    return measure(
        lambda number: send(known[number % POOL]), lambda number: send(new[number]), TRIES, WARM_UP
    )


Look = Callable[[Asked, Caller], Pairs]


def _named(look: Look, seen: list[Difference]) -> list[Difference]:
    print("\n" + look.__name__, *map(str, seen), sep=" | ")  # noqa: T201 - shown by -s
    return seen


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("look", [_opening, _reporting])
def test_nor_does_the_time_tell(tmp_path: Path, look: Look) -> None:
    with _service(tmp_path) as asked, calling(asked.installation.port) as caller:
        seen = persistent(lambda: look(asked, caller))
    assert not _named(look, seen)[-1].shows


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("look", [_opening, _reporting])
def test_half_a_millisecond_put_in_would_have_been_seen(tmp_path: Path, look: Look) -> None:
    with _service(tmp_path, LEAK) as asked, calling(asked.installation.port) as caller:
        seen = [difference(look(asked, caller))]
        while len(seen) < TIMES and not seen[-1].shows:  # as often as the test above looks
            seen.append(difference(look(asked, caller)))
    assert _named(look, seen)[-1].shows
