"""How a function fails: our log says the kind and the place, AWS is told no more than that it did.

What a handler raises, Lambda writes to the log with its text, and that may be anything: a key, an
address, a piece of what was sent. So it is cut to what the journal says of any exception.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from app.bootstrap import StartRefused
from app.observability import Journal, LogEvent, Metrics
from app.settings import BadSettings

Answer = TypeVar("Answer")
Handler = Callable[[dict[str, Any], Any], Answer]


class FunctionFailed(Exception):
    """It failed; its log says where. AWS brings the event again, if it is one that comes again."""


# Written for an operator to read: they name a setting or a key's state, and hold no data.
_SPEAKS = (StartRefused, BadSettings, FunctionFailed)


def silently(part: str) -> Callable[[Handler[Answer]], Handler[Answer]]:
    """Have a handler raise FunctionFailed in the place of whatever it did not foresee."""

    def silent(handler: Handler[Answer]) -> Handler[Answer]:
        @wraps(handler)
        def called(event: dict[str, Any], context: Any) -> Answer:
            try:
                return handler(event, context)
            except _SPEAKS:
                raise
            except Exception as fault:  # noqa: BLE001 - what it may say is not known
                journal = Journal(Metrics())
                journal.failure(LogEvent.WORKER_FAILED, fault, part=part)
            raise FunctionFailed(part)  # here, so that not even a context holds the other

        return called

    return silent
