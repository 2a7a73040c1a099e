"""One answer for one Idempotency-Key (draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from app.domain.errors import KeyReused, ReportRemoveError
from app.ports import AnswerStore, Remember, Remembered
from app.services.house import insist
from partners.ports import Clock, KeyRing, Purpose


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a request the same request: its Idempotency-Key, route and body (SHA-256)."""

    key: str
    route: str
    body_digest: bytes


@dataclass(frozen=True, slots=True)
class Answers:
    """Runs a use case once per request key; repeats get the first answer."""

    store: AnswerStore
    keys: KeyRing
    clock: Clock
    keep: timedelta

    def once(self, request: RequestKey, act: Callable[[Remember], None], answer: bytes) -> bytes:
        """`answer` after `act` stored it, or what was answered before.

        `act` must load what it changes and commit the Remember it is given with its changes: it is
        called again when another change came between. Raises KeyReused for another body under the
        same key, and whatever `act` raises.
        """
        tag = self.keys.tag(Purpose.IDEMPOTENCY, f"{request.route}|{request.key}".encode())
        fingerprint = self.keys.tag(Purpose.IDEMPOTENCY, request.body_digest)
        remembered = Remembered(tag, fingerprint, answer, self.clock.now() + self.keep)

        def once() -> bytes:
            try:
                act(Remember(remembered))
            except ReportRemoveError:
                # Nearly every request is the first of its key, so it is not looked up before. A
                # repeat is refused for some reason: its answer is stored, its token spent.
                earlier = self._earlier(tag, fingerprint)
                if earlier is None:
                    raise
                return earlier
            return answer

        return insist(once)

    def _earlier(self, tag: bytes, fingerprint: bytes) -> bytes | None:
        kept = self.store.remembered(tag, self.clock.now())
        if kept is None:
            return None
        if kept.fingerprint != fingerprint:
            raise KeyReused
        return kept.answer
