"""Any OpenID Connect provider that puts a boolean claim of age into its ID token.

Authlib is the client (code flow, PKCE S256, state, nonce); joserfc verifies the ID token, as
Authlib itself does since `authlib.jose` is deprecated, but with the algorithms that our
configuration pins. Only the ID token is read: no user info is fetched. Of what it says about the
person only the age claim and `sub` are looked at, and `sub` only makes the tag of the day.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from infra.broker.errors import NoPass, Word
from infra.broker.grants import Person
from infra.broker.issuance import Predicate
from infra.broker.providers.fetching import Unusable, json_object, narrow
from infra.broker.providers.port import Away

LEEWAY = 60  # seconds that the provider's clock may differ from ours
MOST_AGE = 600  # seconds since the ID token was made
KEEP = 3600  # seconds for which the provider's own description and keys are believed
_AGAIN = 60  # seconds before its keys are fetched again for a key id that is not among them
# What a provider's answer can do to the libraries that read it.
_FAULTS = (
    *(requests.RequestException, AuthlibBaseError, JoseError, Unusable),
    *(ValueError, TypeError, LookupError, AttributeError, RecursionError),
)


@dataclass(frozen=True, slots=True)
class OidcClient:
    """Who we are to that provider, and what it is to say."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    claim: str
    scope: str
    algorithms: tuple[str, ...]
    return_url: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What the provider says of itself, and when we asked."""

    authorization_endpoint: str
    token_endpoint: str
    keys: KeySet
    at: float


class OidcProvider:
    """The code flow, at a provider that describes itself (OpenID Connect Discovery)."""

    def __init__(self, name: str, predicate: Predicate, client: OidcClient) -> None:
        self.name = name
        self.predicate = predicate
        self.goes_to: tuple[str, ...] = (_origin(client.issuer),)
        self._client = client
        self._asking = threading.Lock()
        self._known: _Known | None = None

    def start(self, form: Mapping[str, str]) -> Away:
        kept = {word: secrets.token_urlsafe(48) for word in ("state", "nonce", "verifier")}
        try:
            known = self._describe()
        except _FAULTS as fault:
            raise NoPass(Word.UNAVAILABLE) from fault
        with self._session() as session:
            url, _ = session.create_authorization_url(
                known.authorization_endpoint,
                state=kept["state"],
                nonce=kept["nonce"],
                code_verifier=kept["verifier"],
            )
        return Away(url, kept, kept["state"])

    def finish(self, kept: Mapping[str, str], query: Mapping[str, str]) -> Person:
        # The state first: what else a stranger's link may carry is not looked at.
        if not _same(query.get("state"), kept["state"]):
            raise NoPass(Word.ENDED)
        if query.get("iss", self._client.issuer) != self._client.issuer:  # RFC 9207
            raise NoPass(Word.ENDED)
        if "error" in query or not query.get("code"):
            raise NoPass(Word.CANCELLED)
        try:
            claims = self._claims(query["code"], kept)
        except _FAULTS as fault:
            raise NoPass(Word.UNAVAILABLE) from fault
        if claims.get(self._client.claim) is not True:
            raise NoPass(Word.REFUSED)
        return Person(claims["sub"])

    def _claims(self, code: str, kept: Mapping[str, str]) -> dict[str, Any]:
        """The claims of a good ID token. Raises one of _FAULTS."""
        known = self._describe()
        with self._session() as session:
            answer = session.fetch_token(
                known.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=kept["verifier"],
            )
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Unusable
        claims = self._verified(token, known)
        check_claims(claims, self._client, kept["nonce"], time.time())
        return claims

    def _verified(self, token: str, known: _Known) -> dict[str, Any]:
        algorithms = list(self._client.algorithms)
        try:
            return jwt.decode(token, known.keys, algorithms=algorithms).claims
        except InvalidKeyIdError:
            # The provider may have changed its keys.
            fresh = self._describe(_AGAIN)
            return jwt.decode(token, fresh.keys, algorithms=algorithms).claims

    def _describe(self, keep: float = KEEP) -> _Known:
        """The provider's endpoints and keys. Raises one of _FAULTS."""
        with self._asking:
            known = self._known
            if known is None or time.monotonic() - known.at > keep:
                known = self._known = self._ask()
            return known

    def _ask(self) -> _Known:
        issuer = self._client.issuer
        with requests.Session() as session:
            narrow(session)
            url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            described = json_object(session.get(url))
            if described.get("issuer") != issuer:
                raise Unusable
            keys = json_object(session.get(self._address(described, "jwks_uri")))
        return _Known(
            self._address(described, "authorization_endpoint"),
            self._address(described, "token_endpoint"),
            KeySet.import_key_set(_public(keys)),
            time.monotonic(),
        )

    def _address(self, described: Mapping[str, Any], name: str) -> str:
        """An endpoint, by TLS unless the issuer itself is without (on loopback, in development)."""
        url = described.get(name)
        if not isinstance(url, str) or not url.isprintable() or urlsplit(url).fragment:
            raise Unusable
        if urlsplit(url).scheme not in ("https", urlsplit(self._client.issuer).scheme):
            raise Unusable
        return url

    def _session(self) -> OAuth2Session:
        session = OAuth2Session(
            client_id=self._client.client_id,
            client_secret=self._client.client_secret or None,
            scope=self._client.scope,
            redirect_uri=self._client.return_url,
            code_challenge_method="S256",
        )
        narrow(session)
        return session


def check_claims(claims: Mapping[str, Any], client: OidcClient, nonce: str, now: float) -> None:
    """Raises Unusable unless the ID token is for us, for this question and fresh (OIDC 3.1.3.7)."""
    good = (
        claims.get("iss") == client.issuer
        and claims.get("aud") in (client.client_id, [client.client_id])
        and claims.get("azp", client.client_id) == client.client_id
        and _same(claims.get("nonce"), nonce)
        and _between(claims.get("iat"), now - MOST_AGE, now + LEEWAY)
        and _between(claims.get("exp"), now - LEEWAY, float("inf"))
        and isinstance(claims.get("sub"), str)
        and 0 < len(claims["sub"]) <= 255
    )
    if not good:
        raise Unusable


def _public(keys: Mapping[str, Any]) -> Any:
    """A key set without what could verify by a shared secret."""
    listed = keys.get("keys")
    if not isinstance(listed, list):
        raise Unusable
    return {"keys": [key for key in listed if isinstance(key, dict) and key.get("kty") != "oct"]}


def _between(value: object, low: float, high: float) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low < value < high


def _same(given: object, ours: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), ours.encode())


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
