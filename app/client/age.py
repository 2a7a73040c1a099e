"""What a device does for profile `jwt-age-v1`: a key, a token for it, and a proof for one request.

It stands alone (Python and `cryptography`). `python -m app.client.age --help` makes the
headers of a request whose body it reads from standard input.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


class NoToken(Exception):
    """The issuer gave no token; the message says why."""


@dataclass(frozen=True, slots=True)
class Device:
    """One use's key, ECDSA on P-256: what WebCrypto has in every browser.

    A key is used for one token only, so that two reports of one person share nothing.
    """

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )

    def jwk(self) -> dict[str, str]:
        """The public key (RFC 7517)."""
        point = self.key.public_key().public_numbers()
        x, y = (b64(number.to_bytes(32, "big")) for number in (point.x, point.y))
        return {"crv": "P-256", "kty": "EC", "x": x, "y": y}

    def thumbprint(self) -> str:
        """The key's name in a token's `cnf.jkt` (RFC 7638)."""
        return b64(hashlib.sha256(compact_json(dict(sorted(self.jwk().items())))).digest())

    def proof(self, token: str, method: str, url: str, body: bytes, now: int) -> str:
        """The `DPoP` header for one request: this token, this body, now (seconds since 1970)."""
        claims = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": url,
            "iat": now,
            "ath": b64(hashlib.sha256(token.encode()).digest()),
            "body_sha256": b64(hashlib.sha256(body).digest()),
        }
        return self.sign({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()}, claims)

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """A compact JWS by this key (RFC 7515, RFC 7518 section 3.4)."""
        signed = f"{b64(compact_json(header))}.{b64(compact_json(claims))}"
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def ask_token(issuer_url: str, jkt: str, nonce: str, audience: str, claim: str) -> str:
    """A token from a development issuer. Raises NoToken."""
    if urlsplit(issuer_url).scheme not in ("http", "https"):
        raise NoToken("the issuer's address is neither http nor https")
    wish = {"jkt": jkt, "nonce": nonce, "audience": audience, "claim": claim}
    request = urllib.request.Request(  # noqa: S310
        f"{issuer_url}/token", compact_json(wish), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return str(json.load(answer)["token"])
    except urllib.error.HTTPError as refused:
        with refused:
            raise NoToken(f"the issuer answered {refused.code}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise NoToken("the issuer gave no usable answer") from None


def headers(
    issuer_url: str, challenge: Mapping[str, str], method: str, url: str, body: bytes
) -> dict[str, str]:
    """The two headers that prove an age for this request. Raises NoToken.

    `challenge` has `nonce` and `audience` of the service's challenge, and the `claim` to ask for.
    """
    device = Device()
    token = ask_token(
        issuer_url,
        device.thumbprint(),
        challenge["nonce"],
        challenge["audience"],
        challenge["claim"],
    )
    proof = device.proof(token, method, url, body, int(time.time()))
    return {"Authorization": f"DPoP {token}", "DPoP": proof}


def b64(raw: bytes) -> str:
    """base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact_json(members: Mapping[str, object]) -> bytes:
    """JSON without spaces, in the order given."""
    return json.dumps(members, separators=(",", ":")).encode()


def main(arguments: list[str] | None = None) -> int:
    """Print the headers as JSON: `{"Authorization": …, "DPoP": …}`. 1 if there is no token."""
    parser = argparse.ArgumentParser(
        prog="python -m app.client.age",
        description="Headers that prove an age for one request; its body comes on standard input.",
    )
    parser.add_argument("--issuer", required=True, help="address of the development issuer")
    parser.add_argument(
        "--nonce", required=True, help="from GET /v1/age/challenge; as --nonce=X, for X may be -…"
    )
    parser.add_argument("--audience", required=True, help="from the same")
    parser.add_argument("--url", required=True, help="public address of the route")
    parser.add_argument("--method", default="POST", help="%(default)s")
    parser.add_argument("--claim", default="age_under_18", help="%(default)s or was_under_18_at")
    options = parser.parse_args(arguments)
    challenge = {name: getattr(options, name) for name in ("nonce", "audience", "claim")}
    body = sys.stdin.buffer.read()
    try:
        made = headers(options.issuer, challenge, options.method, options.url, body)
    except NoToken as problem:
        sys.stderr.write(f"No age token: {problem}\n")
        return 1
    sys.stdout.write(json.dumps(made) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
