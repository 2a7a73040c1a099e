"""What the tests of several processes let another process do with a store; one line an answer.

python -m tests.adapters.sqlite.processes report STORE       report until killed
python -m tests.adapters.sqlite.processes spend STORE COUNT  spend tokens 0 … COUNT - 1
python -m tests.adapters.sqlite.processes open STORE         open it and close it
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.adapters.sqlite.store import SqliteStore
from app.domain.errors import AgeTokenSpent
from app.ports import AddCase, Remember, SpendToken
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


if __name__ == "__main__":
    tasks: dict[str, Callable[..., None]] = {
        "report": report,
        "spend": spend,
        "open": open_and_close,
    }
    task, path, *others = sys.argv[1:]
    tasks[task](Path(path), *others)
