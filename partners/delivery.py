"""Getting messages to platforms: take up what is due, post it, store what came of it.

At least once: a message is given up only in the commit that stores its outcome, and a worker that
dies gives back what it held by doing nothing, because the store's lease runs out.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from partners.composing import Composer, Letter, written
from partners.events import EventType
from partners.model import (
    Attempt,
    Delivered,
    DeliveryResult,
    Endpoint,
    EndpointId,
    EndpointStatus,
    Message,
    MessageId,
    MessageState,
    Partner,
    PartnerId,
    PartnerStatus,
)
from partners.outbox import moved
from partners.ports import (
    CLOSED,
    Answer,
    Clock,
    DeliveryObserver,
    EndpointGate,
    KeyRing,
    MessageStore,
    PartnerStore,
    Payloads,
    Post,
    Sender,
)
from partners.schedule import GONE, Accepted, Decision, Disable, GiveUp, RetryAt, next_attempt
from partners.scribe import Scribe
from partners.sealing import Signer
from partners.waiting import NextLook, Waiting

_COMPOSED_BETWEEN_TURNS: Final = 16
_BACKLOG: Final = 64  # messages taken up at once, from which a second processor is worth it
_NOT_COMPOSED: Final = "not-composed"
_SCRIBE_ENDED: Final = "ScribeEnded"


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How the engine paces itself.

    `gather` is how many seconds the first answer waits for others, to be stored in one commit; an
    endpoint that took longer the last time, or has kept us waiting for longer than `prompt`, is not
    among those others.
    A message that its endpoint has no room for waits here for up to `held_for`, under its lease;
    `lease` must outlast that and the sender's total timeout. After `idle` seconds the store is
    asked without a wake-up, because another process may have added messages.
    """

    batch: int = 200
    lease: timedelta = timedelta(seconds=60)
    gather: float = 0.004
    prompt: timedelta = timedelta(milliseconds=100)
    held_per_endpoint: int = 64
    held_in_all: int = 2_048
    held_for: timedelta = timedelta(seconds=1)
    idle: float = 5.0
    grace: float = 5.0
    pause_after_error: float = 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What one step did. `given_back` were taken up and not posted."""

    claimed: int = 0
    delivered: int = 0
    retried: int = 0
    failed: int = 0
    cancelled: int = 0
    given_back: int = 0


@dataclass(frozen=True, slots=True)
class _UnderWay:
    message: Message
    started_at: datetime


class DeliveryEngine:
    """Delivers what the store says is due. All but `wake` belong to one thread.

    `signer` signs what is sealed, `origin` is the service's public address, `draw` gives the
    jitter: a random number from 0 up to 1.
    """

    def __init__(
        self,
        store: MessageStore,
        partners: PartnerStore,
        payloads: Payloads,
        keys: KeyRing,
        sender: Sender,
        gate: EndpointGate,
        clock: Clock,
        *,
        observer: DeliveryObserver,
        signer: Signer,
        origin: str,
        scribe: Scribe | None = None,
        settings: DeliverySettings | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._partners = partners
        self._signer = signer
        self._scribe = scribe
        if scribe is not None:
            scribe.listen(sender.wake)
        self._letters: list[Letter] = []
        self._composer = Composer(payloads, keys, signer, origin)
        self._sender = sender
        self._gate = gate
        self._clock = clock
        self._observer = observer
        self._settings = settings or DeliverySettings()
        self._draw = draw
        self._under_way: dict[str, _UnderWay] = {}
        self._known: dict[PartnerId, Partner | None] = {}
        self._waiting = Waiting(
            self._settings.held_per_endpoint, self._settings.held_for, self._settings.lease
        )
        self._slow: set[EndpointId] = set()
        self._results: list[DeliveryResult] = []
        self._news: deque[DeliveryResult] = deque()
        self._next_look = NextLook(clock.now(), self._settings.idle)

    def wake(self) -> None:
        """Something may be due now. Safe from any thread."""
        self._next_look.wake()
        self._sender.wake()

    def step(self, timeout: float) -> Counts:
        """Post what is due, wait up to `timeout` seconds for answers, store what came of it."""
        self._save()
        self._begin_step()
        claimed = self._claim()
        answers = self._offer_all(claimed)
        more_is_due = len(claimed) == self._settings.batch
        answers += self._sender.collect(0.0) if more_is_due else self._wait(timeout, answers)
        self._settle_all(answers)
        return _counted(len(claimed), self._save())

    def deliver(self, message_ids: Sequence[MessageId], until: datetime) -> list[Message]:
        """Deliver what of these is due, and nothing else: a queue says which to look at.

        Nothing is posted after `until`. What is on its way then is waited for, which ends by the
        sender's own timeouts; what waits for room is given back, and what was not reached is due
        still. Returns what was stored, as it stands now. What an earlier call could not store comes
        first, so that it may be called again with what failed, or with nothing.
        """
        unclaimed = deque(dict.fromkeys(message_ids))
        results = self._save()
        while unclaimed or self._is_busy():
            if self._clock.now() >= until:
                unclaimed.clear()
                self._give_back_all(self._waiting.drain())
            self._begin_step()
            answers = self._offer_all(self._claim_of(unclaimed))
            self._settle_all(answers + self._collect(self._seconds_to_answer(until, answers)))
            results += self._save()
        return list({result.message.id: result.message for result in results}.values())

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set (and `wake` called), then give back what is in flight."""
        while not stop.is_set():
            try:
                self.step(self._settings.idle)
            except Exception as problem:  # noqa: BLE001 - one bad moment must not end delivery
                self._observer.stumbled(type(problem).__name__)
                stop.wait(self._settings.pause_after_error)
        self.close()

    def close(self) -> None:
        """Let what is in flight end within the grace, give back the rest, and close the sender."""
        self._give_back_all(self._waiting.drain())
        self._take_back_letters()
        until = time.monotonic() + self._settings.grace
        while self._under_way and (left := until - time.monotonic()) > 0:
            self._settle_all(self._sender.collect(left))
        self._sender.close()
        self._settle_all(self._sender.collect(0.0))
        self._save()

    def _begin_step(self) -> None:
        self._known.clear()
        self._composer.read_anew()
        self._post_written()
        self._offer_waiting()

    @contextmanager
    def _giving_back(self, claimed: Iterable[Message]) -> Iterator[None]:
        """Should the store fail now, they would lie here until their lease ends."""
        try:
            yield
        except Exception:
            self._give_back_all(claimed)
            raise

    def _give_back_all(self, messages: Iterable[Message]) -> None:
        now = self._clock.now()
        for message in messages:
            self._give_back(message, now)

    def _is_busy(self) -> bool:
        """Whether something was taken up and is not settled and stored."""
        return bool(self._under_way or self._waiting or self._results)

    def _claim_of(self, unclaimed: deque[MessageId]) -> list[Message]:
        """Take up as many of these as there is room for."""
        limit = max(0, min(self._settings.batch, self._room(), len(unclaimed)))
        ids = [unclaimed.popleft() for _ in range(limit)]
        return self._store.claim(ids, self._clock.now(), self._settings.lease) if ids else []

    def _seconds_to_answer(self, until: datetime, answers: list[Answer]) -> float:
        """How long to wait for answers: till something else is to be done."""
        if self._results or answers:
            return self._settings.gather
        now = self._clock.now()
        waits = [*self._waiting.times(), now + timedelta(seconds=self._settings.idle)]
        waits += [until] if now < until else []
        return max(0.0, (min(waits) - now).total_seconds()) if self._is_busy() else 0.0

    def _claim(self) -> list[Message]:
        now = self._clock.now()
        if not self._may_claim() or self._next_look.seconds(now) > 0:
            return []
        limit = min(self._settings.batch, self._room())
        self._next_look.begin(now)
        claimed = self._store.claim_due(now, limit, self._settings.lease)
        if len(claimed) == limit:
            self._next_look.at_once()
            return claimed
        with self._giving_back(claimed):
            self._next_look.found(self._store.next_due_at())
        return claimed

    def _may_claim(self) -> bool:
        """Nothing is taken up that could not be posted or held."""
        return self._room() > 0 and len(self._waiting) < self._settings.held_in_all

    def _offer_all(self, messages: list[Message]) -> list[Answer]:
        """Post them, letting the first go out while the last are still being sealed."""
        answers: list[Answer] = []
        with self._giving_back(messages):
            self._read(messages)
        for place, message in enumerate(messages, 1):
            self._offer(message)
            if place % _COMPOSED_BETWEEN_TURNS == 0:
                self._send_letters(is_backlog=len(messages) >= _BACKLOG)
                answers += self._sender.collect(0.0)
        self._send_letters()
        return answers

    def _read(self, messages: Sequence[Message]) -> None:
        """All that these are made of, in as few calls as the store needs for it."""
        unread = {message.partner_id for message in messages} - self._known.keys()
        found = self._partners.partners_named(unread)
        self._known.update({partner_id: found.get(partner_id) for partner_id in unread})
        # What already waits for its endpoint will be read when there is room.
        posted = [message for message in messages if message.endpoint_id not in self._waiting]
        if posted:
            self._composer.read_anew(posted)

    def _room(self) -> int:
        """How many more letters the sender can take, once it has those that are being written."""
        away = self._scribe.waiting if self._scribe else 0
        return self._sender.room() - len(self._letters) - away

    def _send_letters(self, *, is_backlog: bool = False) -> None:
        """Seal, sign and post them; of a backlog, as many as it takes are written beside."""
        letters, self._letters = self._letters, []
        if not (letters and is_backlog and self._scribe and self._scribe.take(letters)):
            for letter in letters:
                self._submit(letter, written(letter, self._signer))
        self._post_written()

    def _post_written(self) -> None:
        if self._scribe is None:
            return
        for letter, post in self._scribe.written():
            self._submit(letter, post)
        if self._scribe.lost():
            self._observer.stumbled(_SCRIBE_ENDED)

    def _submit(self, letter: Letter, post: Post | str) -> None:
        under_way = self._under_way.pop(letter.post_key)
        if isinstance(post, Post):
            # Its endpoint keeps us waiting from now on, however long the others took to compose.
            self._under_way[letter.post_key] = _UnderWay(under_way.message, self._clock.now())
            self._sender.submit(post)
            return
        self._not_composed(under_way.message, post, under_way.started_at)

    def _not_composed(self, message: Message, problem: str, now: datetime) -> None:
        self._gate.released(message.endpoint_id)
        self._observer.stumbled(problem)
        nothing = Answer(message.id, None, _NOT_COMPOSED, 0, timedelta(0))
        self._record(message, nothing, now, now)

    def _take_back_letters(self) -> None:
        """What is not written yet is not sent."""
        letters = self._letters + (self._scribe.close() if self._scribe else [])
        self._letters = []
        for letter in letters:
            self._settle(Answer(letter.post_key, None, CLOSED, 0, timedelta(0)))

    def _offer(self, message: Message) -> None:
        """Post a message, or say why not."""
        now = self._clock.now()
        partner = self._partner(message.partner_id)
        endpoint = partner.endpoint(message.endpoint_id) if partner else None
        if partner is None or endpoint is None:
            self._results.append(DeliveryResult(moved(message, MessageState.CANCELLED), None))
        elif endpoint.status is EndpointStatus.DISABLED:
            self._results.append(DeliveryResult(moved(message, MessageState.FAILED), None))
        elif not _is_open(partner, endpoint) or endpoint.url is None:
            self._results.append(DeliveryResult(replace(message, due_at=None), None))
        elif again_at := self._waiting.again_at(endpoint.id) or self._gate.admit(endpoint, now):
            self._hold(message, again_at, now)
        else:
            self._post(message, partner, endpoint, endpoint.url, now)

    def _partner(self, partner_id: PartnerId) -> Partner | None:
        """Read once a step: a suspension or a revoked key counts from the next one on."""
        if partner_id not in self._known:
            self._known[partner_id] = self._partners.partner(partner_id)
        return self._known[partner_id]

    def _post(
        self, message: Message, partner: Partner, endpoint: Endpoint, url: str, now: datetime
    ) -> None:
        try:
            letter = self._composer.letter(message, partner, endpoint, url, now)
        except Exception as problem:  # noqa: BLE001 - one bad message must not stop the others
            self._not_composed(message, type(problem).__name__, now)
            return
        if letter is None:
            self._gate.released(endpoint.id)
            self._results.append(DeliveryResult(moved(message, MessageState.CANCELLED), None))
            return
        self._under_way[letter.post_key] = _UnderWay(message, now)
        self._letters.append(letter)

    def _hold(self, message: Message, again_at: datetime, now: datetime) -> None:
        """Keep it for a moment under its lease, or give it back to the due index."""
        if not self._waiting.hold(message, again_at, now):
            self._give_back(message, again_at)

    def _offer_waiting(self) -> None:
        """Offer what waits again, first come first, where there may be room now."""
        for endpoint_id, messages in self._waiting.ready(self._clock.now()):
            self._offer_lane(endpoint_id, messages)
            self._send_letters(is_backlog=len(self._letters) >= _COMPOSED_BETWEEN_TURNS)

    def _offer_lane(self, endpoint_id: EndpointId, messages: deque[Message]) -> None:
        """One refusal speaks for all that wait behind it."""
        while messages and self._room() > 0 and endpoint_id not in self._waiting:
            self._offer(messages.popleft())
        if messages:
            self._waiting.wait_on(endpoint_id, messages, self._clock.now())

    def _wait(self, timeout: float, answers: list[Answer]) -> list[Answer]:
        """For answers; what is to be stored waits no longer than answers wait for each other."""
        hurry = self._results or answers
        most = min(timeout, self._settings.gather) if hurry else timeout
        came = self._collect(min(most, self._patience()))
        if timeout > 0 and not (answers or came):
            # By the sender's clock it is time. Ours may have been set back, and would keep us from
            # looking for as long.
            self._next_look.at_once()
        return came

    def _collect(self, timeout: float) -> list[Answer]:
        """The first answer within `timeout`, and those that follow it closely."""
        answers = self._sender.collect(timeout)
        until = time.monotonic() + self._settings.gather
        enough = min(self._settings.batch, self._expected()) if answers else 0
        while len(answers) < enough and not self._next_look.woken:
            left = until - time.monotonic()
            if left <= 0:
                break
            answers += self._sender.collect(left)
        return answers

    def _expected(self) -> int:
        """How many answers may follow each other closely.

        No endpoint that hangs makes us wait, and none that took longer than we would the last time,
        or had to be dialled then.
        """
        begun_before = self._clock.now() - self._settings.prompt
        all_of_them = self._under_way.values()
        slow = {u.message.endpoint_id for u in all_of_them if u.started_at < begun_before}
        slow |= self._slow
        return sum(under_way.message.endpoint_id not in slow for under_way in all_of_them)

    def _patience(self) -> float:
        """Seconds for which only an answer or a wake-up can give us something to do."""
        if self._room() < 1:
            return self._settings.idle
        now = self._clock.now()
        waits = [(again_at - now).total_seconds() for again_at in self._waiting.times()]
        if self._may_claim():
            waits.append(self._next_look.seconds(now))
        return max(0.0, min(waits, default=self._settings.idle))

    def _settle_all(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            self._settle(answer)

    def _settle(self, answer: Answer) -> None:
        under_way = self._under_way.pop(answer.key)
        message = under_way.message
        now = self._clock.now()
        if answer.error == CLOSED:
            self._gate.released(message.endpoint_id)
            self._give_back(message, now)
            return
        self._gate.answered(message.endpoint_id, answer, now)
        if answer.dialled or answer.duration.total_seconds() > self._settings.gather:
            self._slow.add(message.endpoint_id)
        else:
            self._slow.discard(message.endpoint_id)
        self._waiting.heard_from(message.endpoint_id, now)
        self._record(message, answer, under_way.started_at, now)

    def _record(
        self, message: Message, answer: Answer, started_at: datetime, now: datetime
    ) -> None:
        decision = next_attempt(message.attempts + 1, answer, now, self._draw())
        attempt = Attempt(
            message_id=message.id,
            number=message.claim,
            started_at=started_at,
            duration_ms=round(answer.duration.total_seconds() * 1000),
            status=answer.status,
            error=answer.error,
            response_bytes=answer.response_bytes,
            breaker=self._gate.state(message.endpoint_id),
        )
        delivered = _first_receipt(message, now) if isinstance(decision, Accepted) else None
        self._results.append(DeliveryResult(_after(message, decision), attempt, delivered))

    def _give_back(self, message: Message, due_at: datetime) -> None:
        self._results.append(DeliveryResult(replace(message, due_at=due_at), None))

    def _save(self) -> list[DeliveryResult]:
        """Store all results in one commit, then tell of them.

        Results that could not be stored are stored the next time; nothing is told twice.
        """
        saved = self._results
        if saved:
            self._store.finish(saved)
            self._results = []
            self._news.extend(saved)
            self._next_look.expect(result.message.due_at for result in saved)
        while self._news:
            self._tell(self._news.popleft())
        return saved

    def _tell(self, result: DeliveryResult) -> None:
        message, attempt = result.message, result.attempt
        if attempt is not None:
            self._observer.attempted(message, attempt)
        # First, for it stores nothing and cannot fail: a disable that does comes with the next 410.
        if message.state is MessageState.FAILED:
            self._observer.message_failed(message, _reason(attempt))
        if attempt is not None and attempt.status == GONE:
            self._observer.endpoint_disabled(message.partner_id, message.endpoint_id)


def _counted(claimed: int, results: list[DeliveryResult]) -> Counts:
    states = [result.message.state for result in results]
    waiting = [result for result in results if result.message.state is MessageState.PENDING]
    retried = sum(result.attempt is not None for result in waiting)
    return Counts(
        claimed=claimed,
        delivered=states.count(MessageState.DELIVERED),
        retried=retried,
        failed=states.count(MessageState.FAILED),
        cancelled=states.count(MessageState.CANCELLED),
        given_back=len(waiting) - retried,
    )


def _is_open(partner: Partner, endpoint: Endpoint) -> bool:
    return partner.status is PartnerStatus.ACTIVE and endpoint.status is EndpointStatus.ACTIVE


def _first_receipt(message: Message, now: datetime) -> Delivered | None:
    """The partner's deadline starts when it has the request, not when we made it."""
    if message.event_type != EventType.REMOVAL_REQUESTED or message.notice_id is None:
        return None
    deadline_at = now + message.deadline if message.deadline is not None else None
    return Delivered(message.notice_id, now, deadline_at)


def _after(message: Message, decision: Decision) -> Message:
    """The message after one more try, which led to this."""
    match decision:
        case Accepted():
            return moved(message, MessageState.DELIVERED, tries=1)
        case RetryAt(at):
            return replace(message, due_at=at, attempts=message.attempts + 1)
        case GiveUp() | Disable():
            return moved(message, MessageState.FAILED, tries=1)


def _reason(attempt: Attempt | None) -> str:
    if attempt is None:
        return "endpoint-disabled"
    return "endpoint-gone" if attempt.status == GONE else "schedule-used-up"
