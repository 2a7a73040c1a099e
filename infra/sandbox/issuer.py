"""Development age issuer: signs 'under 18' for whoever asks. IT CHECKS NOBODY.

It stands alone (Python and `cryptography`) so that an integrator can read a whole issuer of
profile `jwt-age-v1` in one file. Never pin its key in a service that real people use.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DEFAULT_ID = "https://age-issuer.sandbox.invalid"
LIFETIME = 600  # seconds; the profile allows 900
CLAIMS = ("age_under_18", "was_under_18_at")
MOST_BYTES = 4096
WARNING = "Development age issuer: it checks nobody. Anyone who can reach it gets an age token."
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")


class BadRequest(Exception):
    """The request for a token does not hold together; the message says where."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a device asks: a token for its key, the service's nonce, an audience and a claim."""

    jkt: str
    nonce: str
    audience: str
    claim: str

    @classmethod
    def parse(cls, raw: bytes) -> TokenRequest:
        """From the JSON body of `POST /token`. Raises BadRequest."""
        try:
            members = json.loads(raw)
        except (ValueError, RecursionError):
            raise BadRequest("the body is not JSON") from None
        if not isinstance(members, dict) or members.keys() != {"jkt", "nonce", "audience", "claim"}:
            raise BadRequest("give exactly jkt, nonce, audience and claim")
        _check("jkt", members["jkt"], _THUMBPRINT)
        _check("nonce", members["nonce"], _VISIBLE)
        _check("audience", members["audience"], _VISIBLE)
        if members["claim"] not in CLAIMS:
            raise BadRequest(f"claim must be one of {', '.join(CLAIMS)}")
        return cls(**members)


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer's name and Ed25519 key."""

    id: str
    key: Ed25519PrivateKey

    def jwk(self) -> dict[str, str]:
        """The public key, its `kid` being its thumbprint (RFC 7638, RFC 8037)."""
        x = b64(self.key.public_key().public_bytes_raw())
        thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
        return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": b64(thumbprint)}

    def token(self, request: TokenRequest, now: int) -> str:
        """A `jwt-age-v1` token for that request, issued at `now` (seconds since 1970)."""
        claims = {
            "iss": self.id,
            "aud": request.audience,
            "iat": now,
            "exp": now + LIFETIME,
            "jti": secrets.token_urlsafe(16),
            "nonce": request.nonce,
            "cnf": {"jkt": request.jkt},
            request.claim: True,
        }
        return self.sign(claims)

    def sign(self, claims: Mapping[str, object]) -> str:
        """The claims as a compact JWS of this issuer."""
        header = {"typ": "age-proof+jwt", "alg": "Ed25519", "kid": self.jwk()["kid"]}
        signed = f"{b64_json(header)}.{b64_json(claims)}"
        return f"{signed}.{b64(self.key.sign(signed.encode()))}"

    def issuers_file(self, audience: str) -> str:
        """The file with which a service trusts this issuer (docs/AGE.md)."""
        jwk = self.jwk()
        return f"""# Made by infra/sandbox/issuer.py, which checks nobody. For development only.
format = 1

[[issuer]]
profile = "jwt-age-v1"
id = {json.dumps(self.id)}
audience = {json.dumps(audience)}
alg = "Ed25519"
basis = "verified_estimate"
valid_from_at = 2026-01-01T00:00:00Z
valid_until_at = 2100-01-01T00:00:00Z

[[issuer.keys]]
kid = "{jwk["kid"]}"
kty = "OKP"
crv = "Ed25519"
x = "{jwk["x"]}"
"""


def b64(raw: bytes) -> str:
    """base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def b64_json(members: Mapping[str, object]) -> str:
    """A JSON object as base64url."""
    return b64(json.dumps(members, separators=(",", ":")).encode())


def load_key(path: Path | None) -> Ed25519PrivateKey:
    """The key of that PEM file, made (0600) if it is missing; without a path, a fresh one."""
    if path is None:
        return Ed25519PrivateKey.generate()
    if not path.exists():
        _write_private(path, Ed25519PrivateKey.generate())
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise SystemExit(f"{path} does not hold an Ed25519 key")
    return key


def make_server(issuer: Issuer, port: int) -> ThreadingHTTPServer:
    """The issuer on 127.0.0.1 and that port, 0 for a free one. Writes no log."""
    handler = type("IssuerHandler", (_Handler,), {"issuer": issuer})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted, after one line of JSON that says where."""
    options = _options(arguments)
    issuer = Issuer(options.id, load_key(options.key))
    if options.issuers_file:
        _replace(options.issuers_file, issuer.issuers_file(options.audience))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with make_server(issuer, options.port) as server:
        ready = {"url": f"http://127.0.0.1:{server.server_port}", "issuer": issuer.id}
        sys.stdout.write(json.dumps({**ready, "warning": WARNING}) + "\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


class _Handler(BaseHTTPRequestHandler):
    issuer: Issuer
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        pages: dict[str, dict[str, Any]] = {
            "/": {"issuer": self.issuer.id, "warning": WARNING},
            "/jwks.json": {"keys": [{**self.issuer.jwk(), "alg": "Ed25519", "use": "sig"}]},
        }
        page = pages.get(self.path)
        self._answer(200, page) if page else self._answer(404, {"error": "no such page"})

    def do_POST(self) -> None:
        if self.path != "/token":
            self._refuse(404, "no such page")
            return
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > MOST_BYTES:
            self._refuse(413, f"send at most {MOST_BYTES} bytes, with their Content-Length")
            return
        try:
            request = TokenRequest.parse(self.rfile.read(int(length)))
        except BadRequest as problem:
            self._answer(400, {"error": str(problem)})
            return
        self._answer(200, {"token": self.issuer.token(request, int(time.time()))})

    def _refuse(self, status: int, error: str) -> None:
        # The body was not read: whatever follows on this connection is not a request.
        self._answer(status, {"error": error}, connection="close")

    def _answer(self, status: int, members: dict[str, Any], connection: str = "keep-alive") -> None:
        body = json.dumps(members).encode()
        self.send_response(status)
        self.send_header("Connection", connection)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: an issuer keeps no record of who asked."""


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="issuer.py",
        description=WARNING,
        epilog="GET /jwks.json gives the key. POST /token {jkt, nonce, audience, claim} gives"
        " {token}; claim is age_under_18 or was_under_18_at. app/client/age.py asks so.",
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--id", default=DEFAULT_ID, help="the `iss` of its tokens (%(default)s)")
    parser.add_argument("--key", type=Path, help="PEM file of its key, made if missing")
    parser.add_argument("--issuers-file", type=Path, help="write here a file that trusts it")
    parser.add_argument("--audience", help="the `aud` that this file asks for")
    options = parser.parse_args(arguments)
    for name in ("id", "audience"):
        value = getattr(options, name)
        if value is not None and not _VISIBLE.fullmatch(value):
            parser.error(f"--{name} must be 1 to 255 visible ASCII characters")
    if bool(options.issuers_file) != bool(options.audience):
        parser.error("--issuers-file and --audience go together")
    return options


def _check(name: str, value: object, pattern: re.Pattern[str]) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise BadRequest(f"{name} must match {pattern.pattern}")


def _write_private(path: Path, key: Ed25519PrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)


def _replace(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text, "utf-8")
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main())
