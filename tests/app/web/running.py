"""The service as its own process, with a platform that has an API key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.bootstrap import Runtime, build
from app.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[3]
GENEROUS = "1000000 per minute"
STARTS_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """Where the process is, and what was handed to its first platform."""

    process: subprocess.Popen[bytes]
    url: str
    metrics: str
    partner: dict[str, Any]
    log: Path
    data: Path

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def logged(self) -> str:
        return self.log.read_text()


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Settings with which no test meets a limit that it did not ask for."""
    limits = ("REPORTS", "DECLARED", "CASE", "PARTNER", "OVERALL")
    chosen = {
        "DATA_DIR": str(folder / "var"),
        "ENVIRONMENT": "development",
        "PORT": "0",
        "METRICS_PORT": "0",
        **{f"LIMIT_{name}": GENEROUS for name in limits},
        **settings,
    }
    return {PREFIX + name: value for name, value in chosen.items()}


@contextmanager
def in_process(folder: Path, **settings: str) -> Iterator[tuple[Runtime, StringIO]]:
    """The same wiring in this process, without server and worker, and all that it logs."""
    log = StringIO()
    with redirect_stderr(log):
        runtime = build(Settings.from_env(environment(folder, **settings)))
    try:
        yield runtime, log
    finally:
        runtime.close()


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Running]:
    env = environment(folder, **settings)
    runtime = build(Settings.from_env(env))
    add = runtime.services.manage_partners.add
    partner = add("Alpha", None, "v1a", "none", None, takes_location=False)
    runtime.close()
    ready, log = folder / "ready.json", folder / "log"
    command = [sys.executable, "-m", "app.cli", "serve", "--ready-file", str(ready), "--json"]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdout=sink, stderr=sink
        )
    try:
        facts = _facts(process, ready, log)
        yield Running(process, facts["url"], facts["metrics"], partner, log, folder / "var")
    finally:
        process.terminate()
        process.wait(60)


def _facts(process: subprocess.Popen[bytes], ready: Path, log: Path) -> dict[str, str]:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until and process.poll() is None:
        if ready.exists() and (text := ready.read_text()):
            facts: dict[str, str] = json.loads(text)
            return facts
        time.sleep(0.05)
    raise AssertionError(f"the service did not start: {log.read_text()}")
