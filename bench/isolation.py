"""What one hanging partner costs the other 31.

The service as in production, in two folders and in turns: one posts to 31 healthy partners, the
other to the same 31 and to one that takes the request and never answers, with as many messages for
it as for each other. Compared is the rate at which the healthy ones get theirs, durably noted,
from the first step to the last of them. The engines live through all rounds, so that time-outs,
the opened breaker and its trials fall into them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH.parent), str(BENCH)]

import backlog  # noqa: E402
from receiver import receiving  # noqa: E402

from partners.model import EndpointId, MessageState, PartnerId  # noqa: E402

HEALTHY = 31
LIMIT = 0.95


@dataclass(slots=True)
class Side:
    """A service and the partners of it that are healthy."""

    service: backlog.Backlog
    healthy: set[PartnerId]
    stuck: EndpointId | None = None

    @classmethod
    def open(cls, folder: Path, ports: list[int]) -> Side:
        """With a partner at each port; one beyond the healthy ones hangs."""
        service = backlog.Backlog.open(folder)
        partners = [service.enrol(port) for port in ports]
        side = cls(service, {partner.id for partner in partners[:HEALTHY]})
        if len(partners) > HEALTHY:
            side.stuck = partners[HEALTHY].endpoints[0].id
        return side

    def rate(self, reports: int) -> float:
        """Messages per second to healthy partners, until each of them has its own."""
        self.service.report(reports)
        left = reports * HEALTHY
        engine = self.service.runtime.worker.engine
        store = self.service.runtime.store
        delivered = 0
        finish = store.finish

        def counted(results):  # type: ignore[no-untyped-def]
            nonlocal delivered
            finish(results)
            delivered += sum(
                result.message.state is MessageState.DELIVERED
                and result.message.partner_id in self.healthy
                for result in results
            )

        engine._store = _Counting(store, counted)  # type: ignore[assignment]  # noqa: SLF001
        began = time.perf_counter()
        engine.wake()
        while delivered < left:
            engine.step(1.0)
        return left / (time.perf_counter() - began)

    def breaker(self) -> str:
        """What the gate thinks of the partner that hangs."""
        gate = self.service.runtime.worker.engine._gate  # noqa: SLF001 - shown, not used
        return gate.state(self.stuck) if self.stuck else "none hangs"


class _Counting:
    """A store whose `finish` is another."""

    def __init__(self, store, finish) -> None:  # type: ignore[no-untyped-def]
        self._store = store
        self.finish = finish

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)
