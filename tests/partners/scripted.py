"""A Sender that answers from a script, in simulated time, and notices a message sent twice."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from partners.ports import CLOSED, Answer, Post
from tests.partners.memory import SetClock


@dataclass
class ScriptedSender:
    """Each post ends after the time that its answer says; waiting moves the clock."""

    clock: SetClock
    answer_to: Callable[[Post], Answer]
    capacity: int = 50
    posts: list[tuple[datetime, Post]] = field(default_factory=list)
    twice_at_once: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._flying: list[tuple[datetime, int, Answer, str]] = []
        self._at_once: Counter[str] = Counter()
        self._numbers = count()
        self._closed: list[Answer] = []
        self.woken = False

    def submit(self, post: Post) -> None:
        answer = self.answer_to(post)
        name = post.headers["webhook-id"]
        self.posts.append((self.clock.now(), post))
        self._at_once[name] += 1
        if self._at_once[name] > 1:
            self.twice_at_once.append(name)
        ends_at = self.clock.now() + answer.duration
        heapq.heappush(self._flying, (ends_at, next(self._numbers), answer, name))

    def collect(self, timeout: float) -> list[Answer]:
        closed, self._closed = self._closed, []
        until = self.clock.now() + timedelta(seconds=timeout)
        if not closed and not self.woken:
            first = self._flying[0][0] if self._flying else until
            self.clock.at = max(self.clock.at, min(first, until))
        self.woken = False
        ended = closed
        while self._flying and self._flying[0][0] <= self.clock.now():
            _, _, answer, name = heapq.heappop(self._flying)
            self._at_once[name] -= 1
            ended.append(answer)
        return ended

    def room(self) -> int:
        return self.capacity - len(self._flying)

    def wake(self) -> None:
        self.woken = True

    def close(self) -> None:
        for _, _, answer, _ in self._flying:
            self._closed.append(Answer(answer.key, None, CLOSED, 0, timedelta(0)))
        self._flying.clear()
