"""The scene as processes side by side: what `./run` starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.client.service import Service
from app.demo.others import POLICY, hand_over, start_others, trusted
from app.demo.processes import Processes, free_port
from app.demo.walk import Scene, Walk


def start(walk: Walk, processes: Processes, photo: Path, port: int) -> Scene:
    """Start broker, platforms and service, and introduce them to each other.

    `port` is the service's, 0 any.
    """
    folder = processes.folder
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    broker, starting = start_others(processes, photo, url)
    broker_url, issuers = trusted(folder, broker, with_page=True)
    env = {
        "REPORT_REMOVE_ENVIRONMENT": "development",
        "REPORT_REMOVE_DATA_DIR": str(folder / "data"),
        "REPORT_REMOVE_ALLOW_LOOPBACK_PARTNERS": "yes",
        "REPORT_REMOVE_AGE_ISSUERS_FILE": str(issuers),
        "REPORT_REMOVE_LIMIT_CASE": "100000 per hour",  # we look many times while we wait
        "REPORT_REMOVE_PORT": str(port),
        "REPORT_REMOVE_METRICS_PORT": "0",
        "REPORT_REMOVE_PUBLIC_URL": url,
    }
    serve = processes.start("service", "-m", "app.cli", "serve", "--json", **env)
    platforms = {name: ready() for name, ready in starting.items()}
    _enrol(folder, env, platforms)
    facts = serve()
    walk.tell("The service, two platforms and an age broker are up.")
    return Scene(
        Service(url),
        {name: platform["url"] for name, platform in platforms.items()},
        broker_url,
        f"Metrics          {facts['metrics']}",
    )


def _enrol(folder: Path, env: Mapping[str, str], platforms: Mapping[str, dict[str, Any]]) -> None:
    """As an operator's commands do it, but in this process: each of those takes half a second."""
    from app.bootstrap import build
    from app.settings import Settings

    runtime = build(Settings.from_env(env))
    try:
        for name, platform in platforms.items():
            scheme = "v1a" if platform["jwks"] else "v1"
            jwks = json.dumps(platform["jwks"]) if platform["jwks"] else None
            made = runtime.services.manage_partners.add(
                name, platform["webhook"], scheme, POLICY, jwks, takes_location=False
            )
            hand_over(folder, name, made)
            runtime.services.manage_endpoints.verify(str(made["partner_id"]))
    finally:
        runtime.close()
