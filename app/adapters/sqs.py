"""Queues that wake a sender: ids of messages to look at, never what is in them.

Two standard queues, so that a backlog of retries does not hold up first attempts. What lies in them
is only a hint. The store knows what is due; a hint that is lost is made up for by the sweeper, one
that comes twice or late finds nothing to take up. The group of a message is its endpoint (fair
queues: one endpoint's backlog does not stand before the others').
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from app.adapters.aws import code_of
from app.domain.errors import QueueUnavailable
from partners.model import Message

LONGEST_DELAY: Final = timedelta(minutes=15)  # of SQS
_AT_ONCE: Final = 10  # entries of one SendMessageBatch
_TRIES: Final = 4

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SqsQueue:
    """`app.ports.Queue` on two SQS queues. `client` is boto3's; `sleep` takes seconds."""

    client: Any
    first: str
    retry: str
    sleep: Callable[[float], None] = time.sleep

    def announce(self, messages: Sequence[Message]) -> None:
        """Tell of new messages. Raises QueueUnavailable unless every one was taken."""
        self._send(self.first, [_entry(message, timedelta(0)) for message in messages])

    def remind(self, messages: Sequence[Message], now: datetime) -> None:
        """Tell of messages that are due or soon will be; what is due later than that is left out.

        Raises QueueUnavailable unless every one was taken.
        """
        waits = [(m, max(m.due_at - now, timedelta(0))) for m in messages if m.due_at is not None]
        soon = [_entry(m, wait) for m, wait in waits if wait <= LONGEST_DELAY]
        self._send(self.retry, soon)

    def reminders(self) -> int:
        """About how many reminders nobody has looked at yet. Raises QueueUnavailable."""
        name = "ApproximateNumberOfMessages"
        try:
            found = self.client.get_queue_attributes(QueueUrl=self.retry, AttributeNames=[name])
        except (ClientError, BotoCoreError) as fault:
            raise QueueUnavailable(code_of(fault)) from None
        return int(found["Attributes"][name])

    def _send(self, url: str, entries: list[Entry]) -> None:
        waiting = iter(entries)
        while batch := list(islice(waiting, _AT_ONCE)):
            self._send_batch(url, batch)

    def _send_batch(self, url: str, batch: list[Entry]) -> None:
        """A batch may be taken in part: what was not is sent again."""
        for left in _pauses():
            batch = self._refused(url, batch)
            if not batch:
                return
            if left:
                self.sleep(left)
        raise QueueUnavailable("a queue does not take all that it is sent")

    def _refused(self, url: str, batch: list[Entry]) -> list[Entry]:
        numbered = [{**entry, "Id": str(place)} for place, entry in enumerate(batch)]
        try:
            answer = self.client.send_message_batch(QueueUrl=url, Entries=numbered)
        except (ClientError, BotoCoreError) as fault:
            raise QueueUnavailable(code_of(fault)) from None
        return [batch[int(failed["Id"])] for failed in answer.get("Failed", ())]


def _pauses() -> Iterator[float]:
    """How long to wait after each try; nought after the last."""
    yield from (0.1 * 2**tries for tries in range(_TRIES - 1))
    yield 0.0


def _entry(message: Message, wait: timedelta) -> Entry:
    """Rounded up: what comes early finds nothing due."""
    entry: Entry = {"MessageBody": message.id, "MessageGroupId": message.endpoint_id}
    seconds = -(-wait // timedelta(seconds=1))
    return {**entry, "DelaySeconds": seconds} if seconds else entry
