"""What is kept only for a while goes when its time is over; what a killed sender gave up is marked.

The sender marks what it gives up itself. Looking for what it could not is here and not with the
sweeper, because it reads many failed messages.

No guard against a clock that is ahead, as the worker of one machine has one: the clock that decides
here signs each request too, and AWS refuses what is more than five minutes off (decision 0018).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, Final

from app.bootstrap import foundation
from app.functions.failing import silently
from app.services.catalogue import Services
from app.settings import Settings

RESERVE: Final = timedelta(seconds=30)  # for the round that is under way to end

Left = Callable[[], timedelta]


def purge(services: Services, left: Left) -> None:
    """Until nothing is left to do or the time is; the next run goes on."""

    def may_go_on() -> bool:
        return left() > RESERVE

    while services.purge_expired() and may_go_on():
        pass
    services.mark_late.look_back(may_go_on)


@silently("purge")
def handler(_event: dict[str, Any], context: Any) -> None:
    """What is over goes."""
    purge(_services(), lambda: timedelta(milliseconds=context.get_remaining_time_in_millis()))


@cache
def _services() -> Services:
    return foundation(Settings.from_env(os.environ), takes_reports=False).services
