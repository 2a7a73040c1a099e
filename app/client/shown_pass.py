"""A pass for one report: out of a file of passes fetched ahead, or fresh from a broker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.client.broker import development, fetch, wait_a_while
from app.client.pass_file import PassFile
from app.client.privacy_pass import Asked, authorization
from app.client.service import Refused

AGE_WAS_WRONG = frozenset({"age-refused", "age-token-spent"})


@contextmanager
def from_file(path: Path) -> Iterator[dict[str, str]]:
    """The header of a kept pass, for the block that sends the report. Raises NoPass.

    A pass is out of the file before it is sent. It goes back if the report failed for anything but
    the age: a report that was not taken does not spend it.
    """
    file = PassFile(path)
    taken = file.take(time.time())
    try:
        yield {"Authorization": authorization(taken.token)}
    except BaseException as fault:
        if not (isinstance(fault, Refused) and fault.code in AGE_WAS_WRONG):
            file.put_back(taken, time.time())
        raise


def from_broker(
    url: str, challenge: Mapping[str, Any], years: int, most_wait: float = 0.0
) -> dict[str, str]:
    """The header of a pass that a development broker has just signed. Raises NoPass.

    `challenge` is the answer of `GET /v1/age/challenge`; `most_wait` (seconds) bounds a random wait
    between fetching and using.
    """
    [token] = fetch(url, Asked.of(challenge), development(years))
    wait_a_while(most_wait)
    return {"Authorization": authorization(token)}


@contextmanager
def shown(
    challenge: Mapping[str, Any],
    pass_file: Path | None,
    broker: str | None,
    years: int,
    most_wait: float = 0.0,
) -> Iterator[dict[str, str]]:
    """The header for the block that sends a report: of a kept pass, or else a fresh one.

    `most_wait` as in `from_broker`. Raises NoPass.
    """
    if pass_file is not None:
        with from_file(pass_file) as headers:
            yield headers
    else:
        yield from_broker(broker or "", challenge, years, most_wait)


def fetch_ahead(url: str, challenge: Mapping[str, Any], years: int, count: int, path: Path) -> int:
    """Fetch passes into a file; how many are in it now. Raises NoPass."""
    tokens = fetch(url, Asked.of(challenge), development(years), count)
    return PassFile(path).add(tokens, time.time())
