"""The server process: waitress, the worker and the metrics, until a signal ends it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from prometheus_client import start_http_server
from waitress.server import create_server

from app.bootstrap import Runtime
from app.observability import LogEvent
from app.web.application import create_app

VERSION = "0.1.0"


def serve(runtime: Runtime, ready: Callable[[dict[str, Any]], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish or give back what is in hand."""
    settings = runtime.settings
    server = create_server(
        create_app(runtime.context),
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        connection_limit=4000,
        asyncore_use_poll=True,
        max_request_body_size=settings.max_body_bytes,
        max_request_header_size=16_384,
        channel_timeout=30,
        ident=None,
        expose_tracebacks=False,
    )
    metrics, metrics_thread = start_http_server(
        settings.metrics_port, "127.0.0.1", runtime.context.metrics.registry
    )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(ended, server))
    runtime.worker.start()
    port = server.effective_port
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
    server.run()
    metrics.shutdown()
    metrics_thread.join(5)
    drained = runtime.close()
    runtime.context.journal.note(LogEvent.SERVICE_STOPPED, drained=drained)


def _end(ended: threading.Event, server: Any) -> None:
    """Stop taking requests. `server.run` returns once its loop notices."""
    if ended.is_set():
        return
    ended.set()
    raise SystemExit(0)
