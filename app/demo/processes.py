"""The processes that a demonstration starts: each by its own handle, all of them ended with it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Ready = Callable[[], dict[str, Any]]
"""Waits for a process to be up, and gives what it said of itself."""

ROOT: Final = Path(__file__).parents[2]
_ASKED_FOR_BY_NAME: Final = range(20_000, 32_000)
_LAST_WORDS: Final = 15  # lines


class StepFailed(Exception):
    """A step of the walk did not happen."""


@dataclass(slots=True)
class Processes:
    """The processes that were started, and their output files."""

    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, *command: str, **env: str) -> Ready:
        """Start a process of this project's; what is given back waits for its first line, JSON."""
        log = self._log(name)
        with log.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 - this project's own programs
                [sys.executable, *command],
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                env={**_clean_env(), **env},
                cwd=ROOT,
            )
        self.running.append(process)

        def ready() -> dict[str, Any]:
            line = process.stdout.readline() if process.stdout else b""
            try:
                facts: dict[str, Any] = json.loads(line)
            except ValueError:
                raise StepFailed(f"{name} did not start:\n{log.read_text()}") from None
            return facts

        return ready

    def stop(self) -> None:
        """End them all, in the opposite order."""
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    def all_run(self) -> bool:
        """Whether none of them has ended."""
        return all(process.poll() is None for process in self.running)

    def last_words(self, name: str) -> str:
        """The end of what that one wrote to standard error; empty if it was never started."""
        log = self._log(name)
        lines = log.read_text(errors="replace").splitlines(keepends=True) if log.exists() else []
        return "".join(lines[-_LAST_WORDS:])

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def processes_in(folder: Path) -> Iterator[Processes]:
    """None yet, whose files go there. They are ended when the block is left."""
    processes = Processes(folder)
    try:
        yield processes
    finally:
        processes.stop()


def command(env: Mapping[str, str], *words: str) -> str:
    """What that command of ours prints. Raises StepFailed with what it said was wrong."""
    done = subprocess.run(  # noqa: S603 - this project's own command
        [sys.executable, "-m", "app.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**_clean_env(), **env},
        cwd=ROOT,
    )
    if done.returncode:
        raise StepFailed(f"report-remove {' '.join(words[:2])}\n{done.stderr}")
    return done.stdout


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago.

    It is none that the system gives to a client or to whoever wants any: it could be gone by the
    time that a process listens on it, or starts again.
    """
    while True:
        port = secrets.choice(_ASKED_FOR_BY_NAME)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def _clean_env() -> dict[str, str]:
    """Neither another service's settings nor somebody's account of AWS."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("REPORT_REMOVE_", "AWS_"))}
