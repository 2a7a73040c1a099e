"""The server process: waitress, the worker and the metrics, until a signal ends it."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import start_http_server
from waitress.server import create_server

from app.bootstrap import Runtime, StartRefused
from app.observability import LogEvent
from app.version import VERSION
from app.web.application import create_app
from app.web.server import channels, listen_to

GRACE = 5.0  # seconds for which answers are waited for at the end


def serve(runtime: Runtime, ready: Callable[[dict[str, Any]], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish or give back what is in hand.

    Raises StartRefused if a port cannot be bound.
    """
    settings = runtime.settings
    sockets: dict[int, Any] = {}
    with _listening(runtime, settings.port):
        server = create_server(
            create_app(runtime.context),
            map=sockets,
            host=settings.host,
            port=settings.port,
            # One socket, so that there is one port: a name may have addresses of both families.
            ipv4=":" not in settings.host,
            ipv6=":" in settings.host,
            threads=settings.threads,
            connection_limit=4000,
            asyncore_use_poll=True,
            # One more than is taken, for waitress refuses from there on.
            max_request_body_size=settings.max_body_bytes + 1,
            # A body waits in memory: beyond this, waitress would write it to a file.
            inbuf_overflow=settings.max_body_bytes + 1,
            max_request_header_size=16_384,
            channel_timeout=30,
            ident=None,
            # Otherwise waitress drops X-Forwarded-For before ProxyFix has read it.
            clear_untrusted_proxy_headers=settings.trusted_proxies == 0,
            expose_tracebacks=False,
        )
    server.channel_class = channels(runtime.context)
    listen_to(logging.getLogger("waitress"), runtime.context.journal)
    with _listening(runtime, settings.metrics_port):
        metrics, metrics_thread = start_http_server(
            settings.metrics_port, "127.0.0.1", runtime.context.metrics.registry
        )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(ended, server))
    gc.freeze()  # what is loaded by now stays: collections need not walk it again and again
    runtime.start()
    port = _port(server)
    runtime.context.journal.note(
        LogEvent.SERVICE_STARTED,
        version=VERSION,
        environment=settings.environment,
        port=port,
        loopback_partners=settings.allow_loopback_partners,
    )
    ready(
        {
            "url": f"http://{settings.host}:{port}",
            "metrics": f"http://127.0.0.1:{metrics.server_port}/metrics",
        }
    )
    _run(server, sockets, ended)
    metrics.shutdown()
    metrics_thread.join(5)
    drained = runtime.close()
    runtime.context.journal.note(LogEvent.SERVICE_STOPPED, drained=drained)


@contextmanager
def _listening(runtime: Runtime, port: int) -> Iterator[None]:
    """Raises StartRefused if that port cannot be bound. Whatever fails in here, all is closed."""
    try:
        yield
    except BaseException as fault:
        runtime.close()
        if isinstance(fault, OSError):
            raise StartRefused(f"cannot listen on port {port}: {fault.strerror}") from None
        raise


def _port(server: Any) -> int:
    """The port that was taken where 0 was asked for. The stubs know only the server's bases."""
    return int(server.effective_port)


def _end(ended: threading.Event, server: Any) -> None:
    """Have `_run` notice that it is to end."""
    ended.set()
    server.pull_trigger()


def _run(server: Any, sockets: dict[int, Any], ended: threading.Event) -> None:
    """Serve until `ended`; then answer what was taken in, and take nothing more.

    `server.run` would hang up on those that wait for a thread.
    """

    def turn(timeout: float) -> None:
        server.asyncore.loop(timeout, server.adj.asyncore_use_poll, sockets, 1)

    while not ended.is_set():
        turn(1.0)
    server.accepting = False
    server.adj.channel_request_lookahead = -1  # no connection is read any more
    give_up_at = time.monotonic() + GRACE
    while _in_hand(server) and time.monotonic() < give_up_at:
        turn(0.05)
    server.task_dispatcher.shutdown()


def _in_hand(server: Any) -> bool:
    channels = list(server.active_channels.values())
    return any(channel.requests or channel.total_outbufs_len for channel in channels)
