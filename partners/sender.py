"""Posting many messages at once, from one thread, to platforms that may misbehave.

libcurl does the transfers (connections kept, HTTP/1.1 and HTTP/2, TLS verified); epoll tells it
which sockets are ready, so that nothing is polled and another thread can wake the wait.
"""

from __future__ import annotations

import os
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, NamedTuple

import pycurl

from partners.egress import EgressGuard
from partners.errors import EndpointRefused, UnsafeAddress, UnsuitableLibrary
from partners.model import EndpointId
from partners.ports import CLOSED, Answer, Post, Reply


class Failure(StrEnum):
    """Why no answer came: the `error` of an Answer."""

    UNSAFE = "address-unsafe"
    ENDPOINT = "endpoint-refused"
    NAME = "name-unknown"
    CONNECT = "connection-refused"
    TLS = "tls"
    BROKEN = "connection-broken"
    TIMEOUT = "timeout"
    TOO_LONG = "answer-too-long"
    NONSENSE = "answer-not-http"
    CLOSED = CLOSED
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """How the sender behaves. Times in seconds, sizes in bytes.

    `ca_bundle` None is the system's. `capacity` is how many posts may be under way.
    """

    capacity: int = 512
    connect_timeout: float = 5.0
    total_timeout: float = 15.0
    response_limit: int = 16_384
    ca_bundle: str | None = None
    user_agent: str = "ReportRemove/1"


_STATUS: Final = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})")
# How soon after the start a broken connection counts as broken at once.
_AT_ONCE: Final = 2.0
_CONNECTION_AGE: Final = 600  # a moved name is followed after ten minutes at the latest
_KEPT_CONNECTIONS: Final = 1_024
_READ_AT_ONCE: Final = 4_096
_EVENTS_A_TURN: Final = 256

_BROKEN: Final = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_GOT_NOTHING,
        pycurl.E_SEND_ERROR,
        pycurl.E_RECV_ERROR,
        pycurl.E_PARTIAL_FILE,
        pycurl.E_HTTP2,
        92,  # CURLE_HTTP2_STREAM, which pycurl does not name
    }
)
_FAILURES: Final[Mapping[int, Failure]] = {
    **dict.fromkeys(_BROKEN, Failure.BROKEN),
    pycurl.E_COULDNT_RESOLVE_HOST: Failure.NAME,
    pycurl.E_COULDNT_CONNECT: Failure.CONNECT,
    pycurl.E_OPERATION_TIMEDOUT: Failure.TIMEOUT,
    pycurl.E_SSL_CONNECT_ERROR: Failure.TLS,
    pycurl.E_PEER_FAILED_VERIFICATION: Failure.TLS,
    pycurl.E_SSL_CERTPROBLEM: Failure.TLS,
    pycurl.E_SSL_CIPHER: Failure.TLS,
    pycurl.E_SSL_ISSUER_ERROR: Failure.TLS,
    pycurl.E_WRITE_ERROR: Failure.TOO_LONG,
    100: Failure.TOO_LONG,  # CURLE_TOO_LARGE: more headers than libcurl takes
    pycurl.E_FTP_WEIRD_SERVER_REPLY: Failure.NONSENSE,
    pycurl.E_UNSUPPORTED_PROTOCOL: Failure.NONSENSE,
    pycurl.E_URL_MALFORMAT: Failure.ENDPOINT,
}


def refuse_leaky_libcurl(version: str | None = None) -> None:
    """Raise UnsuitableLibrary if libcurl is an 8.21: it leaks the sockets of failed connections."""
    found = version if version is not None else str(pycurl.version_info()[1])
    if found.startswith("8.21."):
        raise UnsuitableLibrary(f"libcurl {found} leaks sockets: install another pycurl")


def retry_after_seconds(value: str, now: datetime) -> float | None:
    """A Retry-After header in seconds from `now` (RFC 9110 section 10.2.3); None if unreadable."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


class _SocketAddress(NamedTuple):
    """What libcurl says of a socket that it wants (pycurl gives the same four)."""

    family: int
    kind: int
    protocol: int
    address: tuple[str | bytes, int]


@dataclass(slots=True)
class _Kept:
    """What is kept of a reply that somebody reads."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class _Transfer:
    """One post under way: libcurl's handle and what has been seen of the answer.

    The sockets it opens are put into `opened`: pycurl works on a duplicate, so they can be closed.
    """

    def __init__(
        self, guard: EgressGuard, settings: SenderSettings, opened: list[socket.socket]
    ) -> None:
        self.guard = guard
        self.opened = opened
        self.settings = settings
        self.kept: _Kept | None = None
        self.curl = _configured(pycurl.Curl(), guard, settings)
        self.curl.setopt(pycurl.HEADERFUNCTION, self._on_header)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._on_body)
        self.curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)

    def begin(self, post: Post) -> None:
        """Make ready for this post."""
        self.post = post
        self.started = time.monotonic()
        self.redialled = False
        self.https = post.url.startswith("https:")
        headers = [f"{name}: {value}" for name, value in post.headers.items()]
        self.curl.setopt(pycurl.URL, post.url)
        self.curl.setopt(pycurl.HTTPHEADER, headers)
        self.curl.setopt(pycurl.POSTFIELDS, post.body)
        self._dial(fresh=False)

    def redial(self) -> bool:
        """Make ready for the one second try; False if it was had, or time is up."""
        elapsed = time.monotonic() - self.started
        if self.redialled or self.final or self.read or elapsed > _AT_ONCE:
            return False
        self.redialled = True
        self._dial(fresh=True)
        return True

    def answer(self, code: int) -> Answer:
        """How it ended. The status decides once the headers are whole: no body is ever used."""
        return Answer(
            key=self.post.key,
            status=self.status if self.final else None,
            error=None if self.final else self._failure(code).value,
            response_bytes=self.read,
            duration=timedelta(seconds=time.monotonic() - self.started),
            retry_after=self.retry_after if self.final else None,
            dialled=code != pycurl.E_OK or self.dialled,
        )

    def _dial(self, *, fresh: bool) -> None:
        self.status = 0
        self.final = False
        self.read = 0
        self.retry_after: float | None = None
        self.unsafe = False
        self.dialled = False
        left = self.settings.total_timeout - (time.monotonic() - self.started)
        self.curl.setopt(pycurl.TIMEOUT_MS, max(1, int(left * 1000)))
        self.curl.setopt(pycurl.FRESH_CONNECT, int(fresh))

    def _failure(self, code: int) -> Failure:
        if self.unsafe:
            return Failure.UNSAFE
        return _FAILURES.get(code, Failure.OTHER)

    def _on_header(self, line: bytes) -> int:
        self.read += len(line)
        if not self.final:
            self._read_header(line)
        return len(line) if self.read <= self.settings.response_limit else 0

    def _read_header(self, line: bytes) -> None:
        if line[:5] == b"HTTP/":
            found = _STATUS.match(line)
            self.status = int(found[1]) if found else 0
            self.retry_after = None
            if self.kept is not None:
                self.kept.headers.clear()
        elif line == b"\r\n" or line == b"\n":
            self.final = self.status >= 200
        elif line[:12].lower() == b"retry-after:":
            value = line[12:].decode("latin-1")
            self.retry_after = retry_after_seconds(value, datetime.now(UTC))
        if self.kept is not None and b":" in line:
            name, _, text = line.decode("latin-1").partition(":")
            self.kept.headers[name.strip().lower()] = text.strip()

    def _on_body(self, part: bytes) -> int:
        self.read += len(part)
        if self.kept is not None:
            self.kept.body += part
        return len(part) if self.read <= self.settings.response_limit else 0

    def _open_socket(self, purpose: int, wanted: _SocketAddress) -> socket.socket | int:
        """Judge the address that libcurl is about to connect to."""
        self.dialled = True
        family, kind, protocol, address = wanted
        host = address[0]
        text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if not self.guard.admits(text, https=self.https):
            self.unsafe = True
            return pycurl.SOCKET_BAD
        self.opened.append(socket.socket(family, kind, protocol))
        return self.opened[-1]


def _configured(curl: pycurl.Curl, guard: EgressGuard, settings: SenderSettings) -> pycurl.Curl:
    """What holds for every post."""
    schemes = pycurl.PROTO_HTTPS | (pycurl.PROTO_HTTP if guard.allow_loopback else 0)
    curl.setopt(pycurl.PROTOCOLS, schemes)
    curl.setopt(pycurl.POST, 1)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.NOSIGNAL, 1)
    # An empty proxy, unlike none, keeps libcurl from reading https_proxy and its kin.
    curl.setopt(pycurl.PROXY, "")
    curl.setopt(pycurl.NOPROXY, "*")
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
    # A burst waits to learn whether its one new connection can carry it all.
    curl.setopt(pycurl.PIPEWAIT, 1)
    curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
    curl.setopt(pycurl.SSL_VERIFYPEER, 1)
    curl.setopt(pycurl.SSL_VERIFYHOST, 2)
    curl.setopt(pycurl.USERAGENT, settings.user_agent)
    curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(settings.connect_timeout * 1000))
    curl.setopt(pycurl.MAXLIFETIME_CONN, _CONNECTION_AGE)
    curl.setopt(pycurl.TCP_NODELAY, 1)
    curl.setopt(pycurl.BUFFERSIZE, _READ_AT_ONCE)
    # pycurl's own libcurl was built elsewhere and does not know where this system keeps its CAs.
    bundle = settings.ca_bundle or ssl.get_default_verify_paths().cafile
    if bundle is not None:
        curl.setopt(pycurl.CAINFO, bundle)
    return curl


def _perform(curl: pycurl.Curl) -> int:
    """Do it now and wait; libcurl's code for how it ended."""
    try:
        curl.perform()
    except pycurl.error as problem:
        return int(problem.args[0])
    return int(pycurl.E_OK)


class CurlCaller:
    """Implements ports.Caller, under the same guard, certificates and limits as the sender."""

    def __init__(
        self, guard: EgressGuard | None = None, settings: SenderSettings | None = None
    ) -> None:
        refuse_leaky_libcurl()
        self._guard = guard or EgressGuard()
        self._settings = settings or SenderSettings()

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The reply, cut at the response limit; a URL that may not be asked gets none."""
        try:
            self._guard.check_url(url)
        except EndpointRefused as refusal:
            return Reply(0, {}, b"", refusal.code)
        return self._ask(method, Post("", EndpointId(""), url, headers, body))

    def _ask(self, method: str, question: Post) -> Reply:
        opened: list[socket.socket] = []
        transfer = _Transfer(self._guard, self._settings, opened)
        transfer.kept = _Kept()
        transfer.begin(question)
        transfer.curl.setopt(pycurl.CUSTOMREQUEST, method)
        code = _perform(transfer.curl)
        transfer.curl.close()
        for each in opened:
            each.close()
        answer = transfer.answer(code)
        kept = transfer.kept
        return Reply(answer.status or 0, kept.headers, bytes(kept.body), answer.error)


class CurlSender:
    """Implements ports.Sender. All but `wake` belong to one thread."""

    def __init__(
        self, guard: EgressGuard | None = None, settings: SenderSettings | None = None
    ) -> None:
        refuse_leaky_libcurl()
        self._guard = guard or EgressGuard()
        self._settings = settings or SenderSettings()
        self._idle: list[_Transfer] = []
        self._under_way: dict[pycurl.Curl, _Transfer] = {}
        self._ended: list[Answer] = []
        self._opened: list[socket.socket] = []
        self._alarm_at: float | None = None
        self._watched: set[int] = set()
        self._poll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell_lock = threading.Lock()
        self._closed = False
        self._poll.register(self._bell, select.EPOLLIN)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, _KEPT_CONNECTIONS)

    def submit(self, post: Post) -> None:
        """Begin a post; a URL that may not be posted to ends at once."""
        try:
            self._guard.check_url(post.url)
        except EndpointRefused as refusal:
            unsafe = isinstance(refusal, UnsafeAddress)
            self._end_unsent(post, Failure.UNSAFE if unsafe else Failure.ENDPOINT)
            return
        transfer = self._idle.pop() if self._idle else self._new_transfer()
        transfer.begin(post)
        self._under_way[transfer.curl] = transfer
        self._multi.add_handle(transfer.curl)

    def collect(self, timeout: float) -> list[Answer]:
        """The posts that ended; waits up to `timeout` seconds for the first, or for `wake`."""
        if self._closed:
            return self._take_ended()
        until = time.monotonic() + timeout
        woken = self._turn(0.0)
        while not self._ended and not woken and (left := until - time.monotonic()) > 0:
            woken = self._turn(left)
        return self._take_ended()

    def room(self) -> int:
        """How many more posts may be submitted now."""
        return max(0, self._settings.capacity - len(self._under_way))

    def wake(self) -> None:
        """Make a waiting `collect` return. Safe from any thread, even after `close`."""
        with self._bell_lock:
            if not self._closed:
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Stop; what is in flight ends as error CLOSED, still to be collected."""
        if self._closed:
            return
        for transfer in list(self._under_way.values()):
            self._multi.remove_handle(transfer.curl)
            self._end_unsent(transfer.post, Failure.CLOSED)
        for transfer in [*self._under_way.values(), *self._idle]:
            transfer.curl.close()
        self._under_way.clear()
        self._idle.clear()
        self._multi.close()
        with self._bell_lock:
            self._closed = True
            os.close(self._bell)
        self._poll.close()

    def _new_transfer(self) -> _Transfer:
        return _Transfer(self._guard, self._settings, self._opened)

    def _turn(self, wait: float) -> bool:
        """Let ready sockets and due timers move on; whether `wake` was called."""
        woken = False
        for descriptor, events in self._poll.poll(self._patience(wait), _EVENTS_A_TURN):
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
                woken = True
            elif descriptor in self._watched:
                self._multi.socket_action(descriptor, _curl_events(events))
        if self._alarm_at is not None and time.monotonic() >= self._alarm_at:
            self._alarm_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._reap()
        while self._opened:
            self._opened.pop().close()
        return woken

    def _patience(self, wait: float) -> float:
        if self._alarm_at is None:
            return wait
        return max(0.0, min(wait, self._alarm_at - time.monotonic()))

    def _reap(self) -> None:
        queued = 1
        while queued:
            queued, well, badly = self._multi.info_read()
            for curl in well:
                self._end(curl, pycurl.E_OK)
            for curl, code, _ in badly:
                self._end(curl, code)

    def _end(self, curl: pycurl.Curl, code: int) -> None:
        self._multi.remove_handle(curl)
        transfer = self._under_way[curl]
        if code in _BROKEN and transfer.redial():
            self._multi.add_handle(curl)
            return
        del self._under_way[curl]
        self._ended.append(transfer.answer(code))
        self._idle.append(transfer)

    def _end_unsent(self, post: Post, failure: Failure) -> None:
        self._ended.append(Answer(post.key, None, failure.value, 0, timedelta(0)))

    def _take_ended(self) -> list[Answer]:
        ended, self._ended = self._ended, []
        return ended

    def _on_timer(self, milliseconds: int) -> None:
        self._alarm_at = time.monotonic() + milliseconds / 1000 if milliseconds >= 0 else None

    def _on_socket(self, wanted: int, descriptor: int, *_: object) -> None:
        if wanted == pycurl.POLL_REMOVE:
            self._watched.discard(descriptor)
            self._unwatch(descriptor)
            return
        if descriptor in self._watched:
            self._unwatch(descriptor)
        self._poll.register(descriptor, _EPOLL_EVENTS[wanted])
        self._watched.add(descriptor)

    def _unwatch(self, descriptor: int) -> None:
        try:
            self._poll.unregister(descriptor)
        except OSError:
            return  # libcurl closed it before saying so, and closing already took it out


_EPOLL_EVENTS: Final[Mapping[int, int]] = {
    pycurl.POLL_NONE: 0,
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


def _curl_events(events: int) -> int:
    ready = pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0
    ready |= pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
    return ready | (pycurl.CSELECT_ERR if events & select.EPOLLERR else 0)
