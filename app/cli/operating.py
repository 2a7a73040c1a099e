"""What every operator's command does: open the service's parts here, act, close them again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from app.cli.showing import FAILED, MISCONFIGURED, give, stop

if TYPE_CHECKING:
    from app.bootstrap import Runtime
    from app.services.catalogue import Services


def built(*, may_begin: bool) -> Runtime:
    """The service's parts by the settings of the environment, or the end with every problem.

    Where there is no service yet, one is begun only by who may: elsewhere the folder is a wrong
    one, and would look like an empty service.
    """
    from app.bootstrap import build, check_begun
    from app.settings import Settings

    with ending_if_refused():
        settings = Settings.from_env(os.environ)
        if not may_begin:
            check_begun(settings)
        return build(settings)


@contextmanager
def ending_if_refused() -> Iterator[None]:
    """If the settings or a start are refused, the end with every problem."""
    from app.bootstrap import StartRefused
    from app.settings import BadSettings

    try:
        yield
    except (BadSettings, StartRefused) as fault:
        stop(MISCONFIGURED, "cannot start:\n  " + "\n  ".join(fault.problems))


@contextmanager
def open_runtime(*, may_begin: bool = False) -> Iterator[Runtime]:
    """A runtime that is closed again, whatever happens."""
    runtime = built(may_begin=may_begin)
    try:
        yield runtime
    finally:
        runtime.close()


def deciding(act: Callable[[], Any], as_json: bool) -> Any:
    """Do it, and end with the reason if it is refused."""
    from app.domain.errors import ReportRemoveError
    from partners.errors import PartnerError

    try:
        return act()
    except (PartnerError, ReportRemoveError) as fault:
        stop(FAILED, str(fault) or fault.code, as_json, code=fault.code)


def changed(
    act: Callable[[Services], object], id: str, status: str, said: str, as_json: bool
) -> None:
    """Do what only changes a status, and show the new one."""
    with open_runtime() as runtime:
        deciding(lambda: act(runtime.services), as_json)
    give(as_json, {"id": id, "status": status}, f"{id} {said}")
