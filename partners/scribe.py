"""A second processor for a backlog: a process that seals and signs letters beside the engine.

Sealing and signing take half of a delivery and hold the interpreter lock. The process is given
what it needs with each letter and keeps nothing; when it dies its letters are written at home.
"""

from __future__ import annotations

import fcntl
import pickle
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from partners.composing import Letter, written
from partners.ports import Post
from partners.sealing import Signer

_LENGTH: Final = struct.Struct(">I")
_COMMAND: Final = (sys.executable, "-m", "partners.scribe")
_ROOT: Final = Path(__file__).resolve().parent.parent
_PIPE_BYTES: Final = 1 << 20  # as many as an ordinary user may ask for
# What may wait for it: enough to be busy while we claim and store, and no more than the pipe holds
# with room to spare. One that hangs must not hang us with it.
_BATCHES_WAITING: Final = 8
_BYTES_WAITING: Final = _PIPE_BYTES // 4 * 3


class Scribe:
    """One such process, started when it is first needed. Belongs to the engine's thread.

    `on_start` is told its number.
    """

    def __init__(self, signer: Signer, on_start: Callable[[int], None] = lambda _: None) -> None:
        self._signer = signer
        self._on_start = on_start
        self._process: _Process | None = None
        self._reader: threading.Thread | None = None
        self._away: deque[tuple[list[Letter], int]] = deque()
        self._back: deque[list[Post | str]] = deque()
        self._failed = threading.Event()
        self._wake: Callable[[], None] = lambda: None

    def listen(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, on another thread, when letters are written."""
        self._wake = wake

    def take(self, letters: list[Letter]) -> bool:
        """Begin to write these; False if it is busy, or no more."""
        if self._failed.is_set() or len(self._away) >= _BATCHES_WAITING:
            return False
        packed = _packed(letters)
        if len(packed) + sum(size for _, size in self._away) > _BYTES_WAITING:
            return False
        self._away.append((letters, len(packed)))
        with suppress(OSError):  # it died: whoever reads from it notices
            _put(self._started().stdin, packed)
        return True

    def written(self) -> list[tuple[Letter, Post | str]]:
        """What was written since the last call; a word instead of a post says what was wrong."""
        done: list[tuple[Letter, Post | str]] = []
        while self._back:
            done += zip(self._away.popleft()[0], self._back.popleft(), strict=True)
        while self._failed.is_set() and not self._back and self._away:
            lost, _ = self._away.popleft()
            done += [(letter, written(letter, self._signer)) for letter in lost]
        return done

    @property
    def waiting(self) -> int:
        """How many letters are not back yet."""
        return sum(len(letters) for letters, _ in self._away)

    def close(self) -> list[Letter]:
        """End the process; the letters that are not back."""
        self._failed.set()
        if self._process is not None and self._reader is not None:
            self._process.kill()
            self._reader.join()
            with suppress(OSError):  # what it was still to read is of no use any more
                self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
        lost = [letter for letters, _ in self._away for letter in letters]
        self._away.clear()
        self._back.clear()
        return lost

    def _started(self) -> _Process:
        if self._process is None:
            self._process = _Process(_COMMAND)
            self._on_start(self._process.pid)
            self._reader = threading.Thread(
                target=self._read, args=(self._process.stdout,), name="scribe", daemon=True
            )
            self._reader.start()
            _put(self._process.stdin, _packed(self._signer.key))
        return self._process

    def _read(self, pipe: IO[bytes]) -> None:
        try:
            while (batch := _get(pipe)) is not None:
                self._back.append(batch)
                self._wake()
        finally:
            self._failed.set()
            self._wake()


class _Process(subprocess.Popen[bytes]):
    """A process with both pipes open."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def __init__(self, command: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        # A group of its own: an interrupt from the keyboard is the service's to handle.
        super().__init__(command, stdin=pipe, stdout=pipe, cwd=_ROOT, process_group=0)
        fcntl.fcntl(self.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _packed(value: Any) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _put(pipe: IO[bytes], packed: bytes) -> None:
    pipe.write(_LENGTH.pack(len(packed)) + packed)
    pipe.flush()


def _get(pipe: IO[bytes]) -> Any:
    """The next value, None at the end, also if that came in the middle of one."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    size = _LENGTH.unpack(head)[0]
    packed = pipe.read(size)
    return pickle.loads(packed) if len(packed) == size else None  # noqa: S301 - our own wrote it


def main() -> None:
    """Be the process: the signer's key, then batches of letters, until the pipe closes."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # an engine that is gone is no news
    said = iter(lambda: _get(sys.stdin.buffer), None)
    if key := next(said, None):
        signer = Signer(key)
        for letters in said:
            _put(sys.stdout.buffer, _packed([written(letter, signer) for letter in letters]))


if __name__ == "__main__":
    main()
