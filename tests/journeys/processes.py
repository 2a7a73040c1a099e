"""The service, platforms and an age issuer as separate processes, each ended by its own handle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.bootstrap import DATABASE, build
from app.demo.processes import free_port
from app.services.catalogue import Services
from app.settings import PREFIX, Settings
from partners.model import PartnerId
from tests.app.services.world import trust

ROOT = Path(__file__).parents[2]
NO_LIMITS = {
    "LIMIT_REPORTS": "10000000 per hour",
    "LIMIT_DECLARED": "10000000 per hour",
    "LIMIT_CASE": "10000000 per hour",
    "LIMIT_PARTNER": "10000000 per minute",
    "LIMIT_OVERALL": "10000000 per minute",
}


def until(holds: Callable[[], bool], what: str, within: float = 60.0) -> None:
    """Wait until it holds. AssertionError after `within` seconds."""
    give_up_at = time.monotonic() + within
    while not holds():
        assert time.monotonic() < give_up_at, f"waited {within:.0f} s until {what}"
        time.sleep(0.02)


@dataclass
class Running:
    """One process and what it printed first."""

    name: str
    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    facts: dict[str, Any] = field(default_factory=dict)

    def wait_ready(self, within: float = 60.0) -> dict[str, Any]:
        """Its first line, which is JSON. AssertionError if it ended or took too long."""
        give_up_at = time.monotonic() + within
        while b"\n" not in (said := self.out.read_bytes()):
            assert self.process.poll() is None, f"{self.name} ended: {self.err.read_text()}"
            assert time.monotonic() < give_up_at, f"{self.name} says nothing"
            time.sleep(0.01)
        self.facts = json.loads(said.split(b"\n")[0])
        return self.facts

    def stop(self, within: float = 30.0) -> int:
        """Ask it to end, and kill it if it does not. Its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait(30)


@dataclass
class Processes:
    """Everything that a test started. Leaving the block ends all of it."""

    folder: Path
    running: list[Running] = field(default_factory=list)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for started in self.running:
            if started.process.poll() is None:
                started.process.terminate()
        for started in self.running:
            try:
                started.process.wait(15)
            except subprocess.TimeoutExpired:
                started.kill()

    def start(self, name: str, *command: str, **env: str) -> Running:
        """Start one of this project's programs; its output goes to files, to be read at leisure."""
        base = self.folder / f"{name}-{len(self.running)}"
        out, err = base.with_suffix(".out"), base.with_suffix(".err")
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=err_file,
                cwd=ROOT,
                env={**clean_env(), **env},
            )
        self.running.append(Running(name, process, out, err))
        return self.running[-1]

    def output(self) -> bytes:
        """All that any of them ever printed."""
        return b"".join(
            path.read_bytes() for started in self.running for path in (started.out, started.err)
        )


def clean_env() -> dict[str, str]:
    """The environment without anybody's settings of the service."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


@dataclass
class Installation:
    """One service: its settings and data folder. May be started several times, even at once."""

    processes: Processes
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def data(self) -> Path:
        return self.processes.folder / "data"

    @property
    def database(self) -> Path:
        return self.data / DATABASE

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def env(self, **more: str) -> dict[str, str]:
        """The environment of this service."""
        values = {
            "ENVIRONMENT": "development",
            "ALLOW_LOOPBACK_PARTNERS": "yes",
            "DATA_DIR": str(self.data),
            "PUBLIC_URL": self.url,
            "PORT": str(self.port),
            "METRICS_PORT": "0",
            **NO_LIMITS,
            **self.settings,
            **more,
        }
        return {PREFIX + name: value for name, value in values.items()}

    def start(self, **more: str) -> Running:
        """A process of the service that answers."""
        running = self.launch(**more)
        running.wait_ready()
        return running

    def launch(self, **more: str) -> Running:
        """A process of the service that may not be ready yet."""
        return self.processes.start(
            "service", "-m", "app.cli", "serve", "--json", **self.env(**more)
        )

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        """One command of the command line, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=ROOT,
            env={**clean_env(), **self.env(**more)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def acting(self, act: Callable[[Services], Any]) -> Any:
        """What the use cases of another process on the same data give."""
        runtime = build(Settings.from_env(self.env()))
        try:
            return act(runtime.services)
        finally:
            runtime.close()

    def add_platform(
        self, name: str, webhook: str | None, *, trusted: bool = True, **more: Any
    ) -> Mapping[str, Any]:
        """As `report-remove partner add`; what is to be handed over.

        A trusted webhook counts as verified: few of ours can be asked.
        """
        wish = {"scheme": "v1", "policy": "uk-osa-48h", "jwks": None, "takes_location": False}

        def add(services: Services) -> Mapping[str, Any]:
            made = services.manage_partners.add(name, webhook, **{**wish, **more})
            if trusted:
                trust(services.house.store, PartnerId(str(made["partner_id"])))
            return made

        made: Mapping[str, Any] = self.acting(add)
        return made
