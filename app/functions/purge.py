"""What is kept only for a while goes when its time is over; what a killed sender gave up is marked.

The sender marks what it gives up itself. Looking for what it could not is here and not with the
sweeper, because it reads every failed message.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, Final

from app.bootstrap import foundation
from app.services.catalogue import Services
from app.settings import Settings

RESERVE_MS: Final = 30_000  # for the round that is under way to end


def handler(_event: dict[str, Any], context: Any) -> None:
    """Rounds until nothing is left to do or the time is; the next run goes on."""
    services = _services()
    while services.purge_expired() and context.get_remaining_time_in_millis() > RESERVE_MS:
        pass
    services.mark_late.look_back()


@cache
def _services() -> Services:
    return foundation(Settings.from_env(os.environ), takes_reports=False).services
