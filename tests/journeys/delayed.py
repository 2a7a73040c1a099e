"""The service with a leak put in: it takes longer for keys and hashes that begin with 0 to 7.

python -m tests.journeys.delayed SECONDS serve …
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from app.cli.main import main
from app.services.open_case import OpenCase
from app.services.submit_report import SubmitReport


def leak(seconds: float, first_byte: int) -> None:
    """Take that long if the byte begins with 0 to 7."""
    until = time.perf_counter() + seconds
    while first_byte < 0x80 and time.perf_counter() < until:
        pass


def install(seconds: float) -> None:
    """Put the leak into both use cases."""
    open_case: Callable[..., Any] = OpenCase.__call__
    submit: Callable[..., Any] = SubmitReport.__call__

    def slower_open(self: OpenCase, case_key: bytes) -> Any:
        leak(seconds, case_key[0])
        return open_case(self, case_key)

    def slower_submit(self: SubmitReport, case_key: bytes, drafts: Any, *others: Any) -> Any:
        leak(seconds, drafts[0].entries[0].value.raw[0])
        return submit(self, case_key, drafts, *others)

    OpenCase.__call__ = slower_open  # type: ignore[method-assign]
    SubmitReport.__call__ = slower_submit  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    install(float(sys.argv.pop(1)))
    main()
