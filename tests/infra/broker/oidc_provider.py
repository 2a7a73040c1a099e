"""A small OpenID Connect provider on loopback: real codes, PKCE, signed tokens, and faults."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey
from werkzeug.serving import make_server

CLIENT_ID = "age-broker"
CLIENT_SECRET = "a-secret-of-the-client"
# Its entry in the broker's configuration.
ENTRY = """
[[provider]]
name = "wallet"
kind = "oidc"
predicate = "under18-estimate"
title = "Use your wallet"
learns = "The wallet learns that you asked for a pass, and when."
issuer = "{issuer}"
client_id = "{client}"
client_secret_file = "secret"
claim = "age_under_18"
algorithms = ["ES256", "RS256"]
"""


@dataclass
class Provider:
    """What it says, and how it may misbehave."""

    url: str = ""
    subject: str = "subject-1234567890"
    key: Any = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "one"}))
    algorithm: str = "ES256"
    claims: dict[str, Any] = field(default_factory=lambda: {"age_under_18": True})
    description: dict[str, Any] = field(default_factory=dict)
    token_answer: Callable[[], Response] | None = None
    sign: Callable[[dict[str, Any]], str] | None = None
    asked: list[str] = field(default_factory=list)
    published: list[Any] | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": self.subject,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not ...}
        if self.sign:
            return self.sign(claims)
        header = {"alg": self.algorithm, "kid": self.key.kid}
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])

    def app(self) -> Flask:
        app = Flask("provider")

        @app.get("/.well-known/openid-configuration")
        def describe() -> Any:
            self.asked.append("describe")
            described = {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            }
            return jsonify(described | self.description)

        @app.get("/keys")
        def keys() -> Any:
            self.asked.append("keys")
            listed = self.published if self.published is not None else [self.key]
            return jsonify({"keys": [key.as_dict(private=key.key_type == "oct") for key in listed]})

        @app.get("/authorize")
        def authorize() -> Any:
            query = request.args
            assert query["response_type"] == "code"
            assert query["client_id"] == CLIENT_ID
            assert query["code_challenge_method"] == "S256"
            assert query["scope"] == "openid"
            code = secrets.token_urlsafe(16)
            self.codes[code] = query.to_dict()
            back = f"{query['redirect_uri']}?code={code}&state={query['state']}"
            return Response(status=302, headers={"Location": back})

        @app.post("/moved")
        def moved() -> Any:
            return Response(status=307, headers={"Location": f"{self.url}/token"})

        @app.post("/token")
        def token() -> Any:
            self.asked.append("token")
            if self.token_answer:
                return self.token_answer()
            basic = request.authorization
            assert basic is not None
            assert (basic.username, basic.password) == (CLIENT_ID, CLIENT_SECRET)
            asked = self.codes.pop(request.form["code"], None)
            digest = hashlib.sha256(request.form["code_verifier"].encode()).digest()
            challenge = b64(digest)
            if asked is None or not hmac.compare_digest(challenge, asked["code_challenge"]):
                return jsonify(error="invalid_grant"), 400
            assert asked["redirect_uri"] == request.form["redirect_uri"]
            token = self.id_token(asked["nonce"])
            return jsonify(access_token="unused", token_type="Bearer", id_token=token)

        return app


@contextmanager
def provider() -> Iterator[Provider]:
    """It listens on a port of its own until the end."""
    serving = Provider()
    server = make_server("127.0.0.1", 0, serving.app(), threaded=True)
    serving.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield serving
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def by_hmac(provider: Provider, shared: bytes) -> Callable[[dict[str, Any]], str]:
    """Signs as an attacker does who hopes that a public key is taken for a shared secret."""

    def sign(claims: dict[str, Any]) -> str:
        signed = f"{text({'alg': 'HS256', 'kid': provider.key.kid})}.{text(claims)}"
        return f"{signed}.{b64(hmac.digest(shared, signed.encode(), 'sha256'))}"

    return sign


def text(members: object) -> str:
    """JSON as base64url."""
    return b64(json.dumps(members).encode())


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
