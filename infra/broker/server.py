"""The broker's process: waitress and a tidying thread, until SIGTERM or SIGINT ends it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from waitress.server import create_server

from infra.broker.assembly import assemble
from infra.broker.configuration import Configuration
from infra.broker.desk import Desk, utc_now
from infra.broker.errors import StartRefused
from infra.broker.held import Clock
from infra.broker.journal import Event, Journal, silence_libraries
from infra.broker.web import create_app

TIDY_EVERY = 30.0  # seconds
DEVELOPMENT_WARNINGS = ("this broker checks nobody", "anyone who reaches it gets a pass")
PLAIN_SIGNER_WARNING = "the signer is Python's pow(): not constant time, for development only"


def serve(
    configuration: Configuration,
    ready: Callable[[dict[str, Any]], None],
    clock: Clock = utc_now,
) -> None:
    """Serve until a signal. Raises StartRefused."""
    journal = Journal()
    silence_libraries(journal)
    desk, days = assemble(configuration, journal, clock)
    desk.tidy()
    server = _listen(configuration, create_app(configuration, desk, journal))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    _announce(configuration, journal, server.effective_port)
    ended = threading.Event()
    tidying = threading.Thread(target=_tidy, args=(desk, journal, ended), name="tidy", daemon=True)
    tidying.start()
    ready({"url": f"http://{configuration.host}:{server.effective_port}"})
    server.run()  # takes the exit of the signal handler as its end, and waits for its threads
    ended.set()
    tidying.join(5)
    days.close()
    journal.note(Event.STOPPED)


def _listen(configuration: Configuration, app: Any) -> Any:
    try:
        return create_server(
            app,
            host=configuration.host,
            port=configuration.port,
            ipv4=":" not in configuration.host,
            ipv6=":" in configuration.host,
            threads=8,
            connection_limit=500,
            channel_timeout=20,
            # Beyond this a body would be written to a file. Nothing we take is a tenth as long.
            max_request_body_size=65_536,
            inbuf_overflow=131_072,
            max_request_header_size=16_384,
            ident=None,
            expose_tracebacks=False,
        )
    except OSError:
        raise StartRefused(["port: it cannot be listened on"]) from None


def _announce(configuration: Configuration, journal: Journal, port: int) -> None:
    if configuration.signer.kind == "development":
        journal.note(Event.WARNING, about=PLAIN_SIGNER_WARNING)
    if any(entry.kind == "development" for entry in configuration.providers):
        for words in DEVELOPMENT_WARNINGS:
            journal.note(Event.WARNING, about=words)
    journal.note(
        Event.STARTED,
        port=int(port),
        signer=configuration.signer.kind,
        keys=len(configuration.keys),
        providers=len(configuration.providers),
    )


def _tidy(desk: Desk, journal: Journal, ended: threading.Event) -> None:
    while not ended.wait(TIDY_EVERY):
        try:
            desk.tidy()
        except Exception as fault:  # noqa: BLE001 - the next round may do better
            journal.failure(Event.TIDYING_FAILED, fault)
