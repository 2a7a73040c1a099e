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
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from partners.composing import Letter, written
from partners.ports import Post
from partners.sealing import Signer

_LENGTH: Final = struct.Struct(">I")
_COMMAND: Final = (sys.executable, "-m", "partners.scribe")
_ROOT: Final = Path(__file__).resolve().parent.parent
_PIPE_BYTES: Final = 1 << 20  # as many as an ordinary user may ask for
_BATCHES_WAITING: Final = 8  # enough to be busy while we claim and store
_PATIENCE: Final = 5.0  # seconds for a batch, which takes some milliseconds
_SECOND_LOOK: Final = 1.0  # after the first that found it late: it may be we who stood still


class Scribe:
    """One such process, started when it is first needed. Belongs to the engine's thread.

    `on_start` is told its number.
    """

    def __init__(self, signer: Signer, on_start: Callable[[int], None] = lambda _: None) -> None:
        self._signer = signer
        self._on_start = on_start
        self._process: _Process | None = None
        self._reader: threading.Thread | None = None
        self._away: deque[_Batch] = deque()
        self._back: deque[list[Post | str]] = deque()
        self._failed = threading.Event()
        self._told = False
        self._late_since: float | None = None
        self._wake: Callable[[], None] = lambda: None

    def listen(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, on another thread, when letters are written."""
        self._wake = wake

    def take(self, letters: list[Letter]) -> bool:
        """Begin to write these; False if it is busy, or no more."""
        if self._failed.is_set() or len(self._away) >= _BATCHES_WAITING:
            return False
        process, packed = self._started(), _packed(letters)
        waiting = sum(batch.size for batch in self._away)
        if process is None or waiting + len(packed) > process.holds:
            return False
        self._away.append(_Batch(letters, len(packed), time.monotonic()))
        with suppress(OSError):  # it died: whoever reads from it notices
            _put(process.stdin, packed)
        return True

    def written(self) -> list[tuple[Letter, Post | str]]:
        """What was written since the last call; a word instead of a post says what was wrong."""
        done: list[tuple[Letter, Post | str]] = []
        while self._back:
            done += zip(self._away.popleft().letters, self._back.popleft(), strict=True)
        while self._failed.is_set() and not self._back and self._away:
            lost = self._away.popleft().letters
            done += [(letter, written(letter, self._signer)) for letter in lost]
        self._end_if_it_hangs()
        return done

    def lost(self) -> bool:
        """True once, after the process died or could not be started; it is not started again."""
        news = self._failed.is_set() and not self._told
        self._told |= news
        return news

    @property
    def waiting(self) -> int:
        """How many letters are not back yet."""
        return sum(len(batch.letters) for batch in self._away)

    def close(self) -> list[Letter]:
        """End the process; the letters that are not back."""
        self._told = True
        self._failed.set()
        if self._process is not None and self._reader is not None:
            self._process.kill()
            self._reader.join()
            with suppress(OSError):  # what it was still to read is of no use any more
                self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
        lost = [letter for batch in self._away for letter in batch.letters]
        self._away.clear()
        self._back.clear()
        return lost

    def _end_if_it_hangs(self) -> None:
        """What it has not written holds its endpoints' places: nothing else would go there."""
        now = time.monotonic()
        if not self._away or now < self._away[0].given_at + _PATIENCE:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = now
        elif self._process and now > self._late_since + _SECOND_LOOK:
            self._process.kill()

    def _started(self) -> _Process | None:
        """None, once and for all, if the system gives us no process."""
        if self._process is None:
            try:
                process = self._process = _Process(_COMMAND)
            except OSError:
                self._failed.set()
                return None
            self._reader = threading.Thread(
                target=self._read, args=(process.stdout,), name="scribe", daemon=True
            )
            self._reader.start()
            self._on_start(process.pid)
            with suppress(OSError):
                _put(process.stdin, _packed(self._signer.key))
        return self._process

    def _read(self, pipe: IO[bytes]) -> None:
        try:
            while (batch := _get(pipe)) is not None:
                self._back.append(batch)
                self._wake()
        finally:
            self._failed.set()
            self._wake()


class _Batch(NamedTuple):
    """Letters that are being written, how many bytes they travel as, and since when."""

    letters: list[Letter]
    size: int
    given_at: float


class _Process(subprocess.Popen[bytes]):
    """A process with both pipes open.

    `holds` is how many bytes may wait in the one to it: one that hangs must not hang us with it.
    """

    stdin: IO[bytes]
    stdout: IO[bytes]
    holds: int

    def __init__(self, command: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        # A group of its own: an interrupt from the keyboard is the service's to handle.
        super().__init__(command, stdin=pipe, stdout=pipe, cwd=_ROOT, process_group=0)
        with suppress(OSError):  # its user has too many large ones already
            fcntl.fcntl(self.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.holds = fcntl.fcntl(self.stdin, fcntl.F_GETPIPE_SZ) // 4 * 3  # with room to spare


def _packed(value: Any) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _put(pipe: IO[bytes], packed: bytes) -> None:
    pipe.write(_LENGTH.pack(len(packed)) + packed)
    pipe.flush()


def _get(pipe: IO[bytes]) -> Any:
    """The next value; None at the end, even in the middle of a value."""
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
