"""Letters written in another process are the letters we would have written."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from joserfc import jwk

from partners.composing import Letter
from partners.model import EndpointId, MessageId, PartnerId
from partners.ports import Payload, Post
from partners.scribe import _COMMAND, Scribe
from partners.sealing import Addressed, Signer, unseal
from partners.signing import HmacKey, PrivateKey, verify
from tests.partners.platforms import eventually

SIGNER = Signer(PrivateKey(bytes(range(32))))
READER = jwk.ECKey.generate_key("P-256")
KEY_SET = json.dumps({"keys": [READER.as_dict(private=False)]})
KEYS = (PrivateKey.generate(), HmacKey.generate())
NOW = datetime(2026, 5, 17, 12, 30, tzinfo=UTC)
PARTNER = PartnerId("ptn_one")


def a_letter(number: int, key_set: str | None = KEY_SET, size: int = 3) -> Letter:
    message = MessageId(f"msg_{number}")
    inner = {"item_id": f"itm_{number}", "hashes": [os.urandom(32).hex() for _ in range(size)]}
    return Letter(
        f"{message}.1",
        EndpointId("end_one"),
        "https://platform.example.org/hook",
        "removal.requested",
        NOW,
        Payload({"item_id": f"itm_{number}"}, inner),
        Addressed("https://remove.example.org", PARTNER, message, int(NOW.timestamp())),
        key_set,
        NOW,
        KEYS,
    )


@pytest.fixture
def scribe() -> Iterator[Scribe]:
    made = Scribe(SIGNER)
    yield made
    made.close()


def _all_written(scribe: Scribe, count: int) -> list[tuple[Letter, Post | str]]:
    done: list[tuple[Letter, Post | str]] = []

    def came() -> bool:
        done.extend(scribe.written())
        return len(done) >= count

    assert eventually(came, within=20)
    return done


def _begin_and_stop(scribe: Scribe) -> subprocess.Popen[bytes]:
    """Its process, which has written one letter and stands still."""
    assert scribe.take([a_letter(0)])
    _all_written(scribe, 1)
    assert scribe._process is not None
    os.kill(scribe._process.pid, signal.SIGSTOP)
    return scribe._process


def test_they_verify_and_open_and_come_back_in_their_order(scribe: Scribe) -> None:
    letters = [a_letter(n) for n in range(32)]
    assert scribe.take(letters[:16])
    assert scribe.take(letters[16:])
    assert scribe.waiting == 32
    done = _all_written(scribe, 32)
    assert [letter for letter, _ in done] == letters
    assert scribe.waiting == 0
    for letter, post in done:
        assert isinstance(post, Post)
        assert (post.key, post.url) == (letter.post_key, letter.url)
        for key in (KEYS[0].public, KEYS[1]):
            assert verify([key], post.headers, post.body, NOW) == letter.address.message_id
        sealed = json.loads(post.body)["data"]["sealed"]
        private = {"keys": [READER.as_dict(private=True)]}
        opened = unseal(sealed, private, SIGNER.key.public, PARTNER, letter.address.message_id)
        assert letter.payload.inner is not None
        assert opened["hashes"] == letter.payload.inner["hashes"]


def test_it_says_when_they_are_written(scribe: Scribe) -> None:
    rung = threading.Event()
    scribe.listen(rung.set)
    scribe.take([a_letter(1)])
    assert rung.wait(20)
    assert len(scribe.written()) == 1


def test_whoever_made_it_is_told_of_its_process() -> None:
    told: list[int] = []
    scribe = Scribe(SIGNER, told.append)
    try:
        assert told == []
        scribe.take([a_letter(1)])
        scribe.take([a_letter(2)])
        assert scribe._process is not None
        assert told == [scribe._process.pid]
    finally:
        scribe.close()


def test_it_takes_eight_batches_and_no_ninth_meanwhile(scribe: Scribe) -> None:
    assert [scribe.take([a_letter(n)]) for n in range(9)] == [True] * 8 + [False]
    assert scribe.waiting == 8
    _all_written(scribe, 8)
    assert scribe.take([a_letter(8)])


def test_a_letter_that_cannot_be_written_says_why_and_stops_no_other(scribe: Scribe) -> None:
    scribe.take([a_letter(1), a_letter(2, key_set="{}"), a_letter(3)])
    said = [post if isinstance(post, str) else "" for _, post in _all_written(scribe, 3)]
    assert said == ["", "KeySetRefused", ""]


def test_letters_that_a_killed_scribe_held_are_written_at_home(scribe: Scribe) -> None:
    process = _begin_and_stop(scribe)
    letters = [a_letter(n) for n in range(1, 33)]
    assert scribe.take(letters[:16])
    assert scribe.take(letters[16:])
    process.kill()
    done = _all_written(scribe, 32)
    assert [letter for letter, _ in done] == letters
    assert all(isinstance(post, Post) for _, post in done)
    assert not scribe.take([a_letter(40)])
    assert (scribe.lost(), scribe.lost()) == (True, False)  # said once


def test_a_scribe_that_hangs_does_not_hang_its_engine(scribe: Scribe) -> None:
    _begin_and_stop(scribe)
    long = [[a_letter(16 * n + m, size=300) for m in range(16)] for n in range(3)]
    began = time.monotonic()
    assert scribe.take(long[0])
    assert scribe.take(long[1])
    assert not scribe.take(long[2])  # 330 kB each, and the pipe holds one MB
    assert scribe.take([a_letter(48)])
    assert time.monotonic() - began < 30  # it hangs for ever
    assert [letter.post_key for letter in scribe.close()] == [
        f"msg_{n}.1" for n in (*range(32), 48)
    ]


def test_a_scribe_that_hangs_is_ended_and_its_letters_are_written_at_home(
    scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold their endpoints' places meanwhile, so that nothing else goes there."""
    _begin_and_stop(scribe)
    letters = [a_letter(n) for n in range(1, 33)]
    assert scribe.take(letters[:16])
    assert scribe.take(letters[16:])
    assert scribe.written() == []
    monkeypatch.setattr("partners.scribe._PATIENCE", 0.2)
    done = _all_written(scribe, 32)
    assert [letter for letter, _ in done] == letters
    assert all(isinstance(post, Post) for _, post in done)


def test_without_a_process_everything_is_left_to_the_engine(
    scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partners.scribe._COMMAND", ("/nowhere/python",))
    assert not scribe.take([a_letter(1)])
    monkeypatch.undo()
    assert not scribe.take([a_letter(2)])
    assert scribe.lost()
    assert (scribe.waiting, scribe.written(), scribe.close()) == (0, [], [])


def test_a_small_pipe_is_given_little(scribe: Scribe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user has only so many large ones (fs.pipe-user-pages-soft)."""
    monkeypatch.setattr("partners.scribe._PIPE_BYTES", (1 << 31) - 1)  # refused like those
    _begin_and_stop(scribe)
    long = [a_letter(n, size=300) for n in range(1, 5)]  # 20 kB each
    assert [scribe.take([letter]) for letter in long] == [True, True, False, False]
    assert scribe.close() == long[:2]


def test_it_ends_when_its_engine_is_gone(scribe: Scribe) -> None:
    scribe.take([a_letter(0)])
    _all_written(scribe, 1)
    assert scribe._process is not None
    scribe._process.stdin.close()
    assert scribe._process.wait(30) == 0


@pytest.mark.parametrize("cut", [2, 100])
def test_it_ends_in_silence_when_its_engine_dies_in_the_middle_of_a_word(
    cut: int, capfd: pytest.CaptureFixture[str]
) -> None:
    process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdin is not None
        process.stdin.write(struct.pack(">I", 5_000)[:cut] + b"x" * (cut - 4))
    assert process.returncode == 0
    assert capfd.readouterr().err == ""


def test_no_key_is_shown(scribe: Scribe) -> None:
    letter = a_letter(1)
    assert repr(letter) == "Letter('msg_1.1')"
    assert letter.post_key in f"{letter}"
    assert str(KEYS[1]) not in f"{letter} {[letter]}"
