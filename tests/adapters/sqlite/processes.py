"""What the tests of several processes let another process do with a store; one line an answer.

python -m tests.adapters.sqlite.processes report STORE       report until killed
python -m tests.adapters.sqlite.processes spend STORE COUNT  spend tokens 0 … COUNT - 1
python -m tests.adapters.sqlite.processes open STORE         open it and close it
python -m tests.adapters.sqlite.processes interrupt STORE    write, interrupted at any step
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from app.adapters.sqlite.store import SqliteStore
from app.adapters.sqlite.writer import Writer
from app.domain.errors import AgeTokenSpent
from app.ports import AddCase, Remember, SpendToken
from tests.adapters.sqlite.numbers import opened, put
from tests.contract.samples import DAY, NOW, a_case, a_report, an_answer

THREADS = 8


def say(word: str) -> None:
    """One line, whole, at once: what was said before a kill was said."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def report(path: Path) -> None:
    """Report from eight threads; name each case after it was acknowledged."""
    store, speaking = SqliteStore(path), threading.Lock()

    def report_on() -> None:
        while True:
            case, changes = a_report()
            store.commit(*changes, Remember(an_answer(tag=case.key_tag)))
            with speaking:
                say(case.id)

    threads = [threading.Thread(target=report_on) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def spend(path: Path, count: str) -> None:
    """Spend the tokens in turn, each with a case; name those that were not spent yet."""
    store = SqliteStore(path)
    say("ready")
    sys.stdin.readline()
    for number in range(int(count)):
        token = SpendToken(number.to_bytes(32, "big"), NOW + DAY)
        with suppress(AgeTokenSpent):
            store.commit(AddCase(a_case()), token)
            say(str(number))
    store.close()


def open_and_close(path: Path) -> None:
    """Open the store, which makes or updates its tables."""
    SqliteStore(path).close()


class Alarm:
    """Interrupts the main thread, in what it was set for and nowhere else."""

    def __init__(self) -> None:
        self._set = False  # the kernel may give a signal to a thread that is long in telling
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, *_: object) -> None:
        if self._set:
            self._set = False
            raise KeyboardInterrupt

    def during(self, act: Callable[[], None], seconds: float) -> None:
        """Begin to act; `seconds` later (0: never), if it has not ended, it is interrupted."""
        with suppress(KeyboardInterrupt):
            self._set = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
            act()
            self._set = False


def interrupt(path: Path) -> None:
    """Write from four threads, of which the main one is interrupted up to 300 times.

    Names the numbers that somebody heard were stored. In a process of its own, for an interrupt
    may come in a callback of the garbage collector, and in a test's own process those are pytest's.
    """
    alarm, writer = Alarm(), Writer(opened(path), 10.0, lambda _: None)
    enough = threading.Event()
    done: list[int] = []

    def write(number: int) -> None:
        done.append(writer.do(put(number)))

    def write_on(number: int) -> None:
        while not enough.is_set():
            write(number)
            number += 10

    others = [threading.Thread(target=write_on, args=(n,), daemon=True) for n in (1, 2, 3)]
    for thread in others:
        thread.start()
    for number in range(0, 3000, 10):
        alarm.during(partial(write, number), number / 1_000_000)  # up to 3 ms
    enough.set()
    for thread in others:
        thread.join()
    writer.close()
    for number in done:
        say(str(number))


if __name__ == "__main__":
    tasks: dict[str, Callable[..., None]] = {
        "report": report,
        "spend": spend,
        "open": open_and_close,
        "interrupt": interrupt,
    }
    task, path, *others = sys.argv[1:]
    tasks[task](Path(path), *others)
