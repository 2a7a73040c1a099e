"""Platforms to post at: real TLS servers on loopback, each behaving as badly as it is told."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority of our own, and the certificates it writes into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        self.bundle = folder / "ca.pem"
        certificate = self._sign(self._name, self._key.public_key(), DAY, is_authority=True)
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certificate(
        self, name: str, hosts: tuple[str, ...] = ("localhost",), lasts: dt.timedelta = DAY
    ) -> Path:
        """A file with key and certificate; `lasts` below zero makes an expired one."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
        certificate = self._sign(subject, key.public_key(), lasts, hosts=hosts)
        path = self.folder / f"{name}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        lasts: dt.timedelta,
        *,
        hosts: tuple[str, ...] = (),
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + lasts)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


@dataclass
class Received:
    """One request as the platform got it. Header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[["Platform", Received, socket.socket], bool]
"""Answers one request on the connection; False closes it."""


def answer(
    status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None
) -> Behaviour:
    """A platform that answers so, every time."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    whole = ("\r\n".join(lines) + "\r\n\r\n").encode() + body

    def behave(platform: Platform, request: Received, connection: socket.socket) -> bool:
        connection.sendall(whole)
        return True

    return behave


ALLOWING = {"WebHook-Allowed-Origin": "remove.example.org", "WebHook-Allowed-Rate": "120"}
ALLOWS = answer(204, headers=ALLOWING)


def echoing(handshake: Behaviour = ALLOWS, echo: str | None = None) -> Behaviour:
    """Shakes hands as told, then repeats a challenge (or says `echo`), and takes what follows."""

    def behave(platform: Platform, request: Received, connection: socket.socket) -> bool:
        if request.method == "OPTIONS":
            return handshake(platform, request, connection)
        message = json.loads(request.body)
        if message["type"] != "endpoint.verification":
            return answer(204)(platform, request, connection)
        word = message["data"]["challenge"] if echo is None else echo
        return answer(200, json.dumps({"challenge": word}).encode())(platform, request, connection)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Each in turn; the last one for ever."""
    turns = iter(behaviours)
    lock = threading.Lock()
    last = behaviours[-1]

    def behave(platform: Platform, request: Received, connection: socket.socket) -> bool:
        with lock:
            now = next(turns, last)
        return now(platform, request, connection)

    return behave


def reset(platform: Platform, request: Received, connection: socket.socket) -> bool:
    """Break the connection with RST instead of answering."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def hang(platform: Platform, request: Received, connection: socket.socket) -> bool:
    """Never answer."""
    platform.stopped.wait(60)
    return False


def raw(*parts: bytes, every: float = 0.0, repeat: int = 1) -> Behaviour:
    """Send these bytes, `every` seconds apart, the whole `repeat` times, then close."""

    def behave(platform: Platform, request: Received, connection: socket.socket) -> bool:
        for _ in range(repeat):
            for part in parts:
                connection.sendall(part)
                if every and platform.stopped.wait(every):
                    return False
        return False

    return behave


@dataclass
class Platform:
    """A threaded HTTP/1.1 server on 127.0.0.1. Without a certificate it speaks plain HTTP."""

    behave: Behaviour = field(default_factory=answer)
    certificate: Path | None = None
    host: str = "localhost"
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Platform:
        self._context = _server_context(self.certificate) if self.certificate else None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        # Closing alone does not wake a thread that waits in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    @property
    def url(self) -> str:
        """Where to post."""
        return f"{'https' if self.certificate else 'http'}://{self.host}:{self.port}/hook"

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(plain,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        connection: socket.socket = plain
        with contextlib.suppress(OSError, ValueError):
            if self._context is not None:
                connection = self._context.wrap_socket(plain, server_side=True)
            with self._lock:
                self._open.add(connection)
            reader = connection.makefile("rb")
            while (request := _read(reader)) is not None:
                if self.stopped.is_set():
                    break  # a socket that was shut down reads what is left of TLS as if plain
                with self._lock:
                    self.received.append(request)
                if not self.behave(self, request, connection):
                    break
        with self._lock:
            self._open.discard(connection)
        connection.close()


def _server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _read(reader: object) -> Received | None:
    readline: Callable[[], bytes] = reader.readline  # type: ignore[attr-defined]
    first = readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while line := readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", "0")))  # type: ignore[attr-defined]
    return Received(first[0], first[1], headers, body)


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def eventually(holds: Callable[[], bool], within: float = 20.0) -> bool:
    """Whether it comes to hold in that many seconds."""
    until = time.monotonic() + within
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
