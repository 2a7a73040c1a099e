"""What the tests of several processes let another process do with a table; one line an answer.

python -m tests.adapters.dynamodb.processes spend URL TABLE COUNT  spend tokens 0 … COUNT - 1
python -m tests.adapters.dynamodb.processes open URL TABLE COUNT   cases of keys 0 … COUNT - 1
python -m tests.adapters.dynamodb.processes claim URL TABLE        take up what is due, 7 at a time
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

from app.adapters.dynamodb.store import DynamoStore
from app.domain.errors import AgeTokenSpent, CaseKeyTaken
from app.ports import AddCase, SpendToken
from tests.contract.cloud import a_client
from tests.contract.samples import DAY, NOW, a_case


def say(word: str) -> None:
    """One line, whole, at once."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def spend(store: DynamoStore, count: str) -> Iterator[str]:
    """Spend the tokens in turn, each with a case; name those that were not spent yet."""
    for number in range(int(count)):
        token = SpendToken(number.to_bytes(32, "big"), NOW + DAY)
        with suppress(AgeTokenSpent):
            store.commit(AddCase(a_case()), token)
            yield str(number)


def open_cases(store: DynamoStore, count: str) -> Iterator[str]:
    """Open a case under each key in turn; name those that were free."""
    for number in range(int(count)):
        with suppress(CaseKeyTaken):
            store.commit(AddCase(a_case(key_tag=number.to_bytes(32, "big"))))
            yield str(number)


def claim(store: DynamoStore) -> Iterator[str]:
    """Take up what is due until nothing is; name it."""
    while claimed := store.claim_due(NOW, 7, DAY):
        yield from (message.id for message in claimed)


if __name__ == "__main__":
    tasks: dict[str, Callable[..., Iterator[str]]] = {
        "spend": spend,
        "open": open_cases,
        "claim": claim,
    }
    task, url, table, *others = sys.argv[1:]
    opened = DynamoStore(a_client(url), table)
    opened.ping()
    say("ready")
    sys.stdin.readline()
    for word in tasks[task](opened, *others):
        say(word)
