"""Fuzz every parser of a proof of age: `python -m tests.fuzz.age --minutes 10`.

Half of what is fed is broken by hand and half is broken and then signed as it should be, so that
the checks behind the signature are met too. Whatever is taken must say what the whole one says.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from app.adapters.age.issuers import BadIssuers, parse
from app.adapters.age.trust import BlindIssuer, Signer
from app.domain.age import AgeBasis
from app.domain.errors import AgeRefused
from app.settings import AGE_PROFILES
from app.web.application import create_app
from infra.sandbox.issuer import b64
from tests.adapters.age.blinding import DOCUMENT, NONCE, Broker
from tests.adapters.age.documents import Papers, der
from tests.adapters.age.minting import ABSENT, NOON, World, changed
from tests.adapters.age.vouching import CODE, Helpline
from tests.adapters.age.wallets import UNDER_18, Wallet, digest_of, disclosure
from tests.app.web.running import in_process

_PROFILES = sorted(AGE_PROFILES)
Check = Callable[[Any], None]
Strategy = st.SearchStrategy[Any]

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from([0, 1, "false", "true", NOON, NOON + 1, NOON - 10**6, 2**63, -1, "18"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_LITERALS = [
    "true",
    "0",
    "-1",
    "1e400",
    "inf",
    "[]",
    "{}",
    "'x'",
    '""',
    "[[]]",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
]
_MARKS = st.text('ABCabc019-_=.~+/"{}[]:, \n\0é', max_size=8) | st.text(max_size=4)
_EDIT = st.tuples(st.integers(0, 2**31), st.integers(0, 12), _MARKS)


def _spoil(text: str, edits: list[tuple[int, int, str]]) -> str:
    for place, length, put in edits:
        at = place % (len(text) + 1)
        text = text[:at] + put + text[at + length :]
    return text


def _spoil_bytes(raw: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, put in edits:
        at = place % (len(raw) + 1)
        raw = raw[:at] + put + raw[at + length :]
    return raw


def _latin(text: str) -> str:
    """What a header may hold."""
    return "".join(c for c in text if ord(c) < 256 and c not in "\r\n")


def _flipped(raw: bytes, bits: list[tuple[int, int]]) -> bytes:
    changed = bytearray(raw)
    for place, bit in bits:
        changed[place] ^= 1 << bit
    return bytes(changed)


def spoilt(text: str) -> Strategy:
    """The text with a few places changed; now and then as it is."""
    return st.lists(_EDIT, max_size=4).map(lambda edits: _spoil(text, edits))


def members(*known: str) -> Strategy:
    """A change of one or two members, most of them known ones."""
    names = st.sampled_from(known) | st.text(max_size=8)
    return st.dictionaries(names, _JSON | st.just(ABSENT), max_size=2)


@dataclass(frozen=True)
class Parser:
    """What is fed to one parser, and what must hold of its answer."""

    cases: Strategy
    check: Check


@dataclass
class Bench:
    """Every parser with its trusted issuers, made once."""

    folder: Path
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        for name in ("jwt", "blind", "wallet", "helpline", "papers", "house"):
            (self.folder / name).mkdir()
        self.world = World(self.folder / "jwt")
        self.broker = Broker(self.folder / "blind" / "issuers.toml")
        self.wallet = Wallet(self.folder / "wallet")
        self.helpline = Helpline(self.folder / "helpline")
        self.papers = Papers(self.folder / "papers")
        self.digest = self.broker.digest()
        every = self.folder / "every.toml"
        every.write_text(self.trusted())
        accepted = {"AGE_ISSUERS_FILE": str(every), "AGE_PROFILES": ",".join(_PROFILES)}
        runtime, _ = self.stack.enter_context(in_process(self.folder / "house", **accepted))
        self.client = create_app(runtime.context).test_client()

    def trusted(self) -> str:
        """An issuer file with an entry of each kind."""
        made = (self.world, self.broker, self.wallet, self.helpline, self.papers)
        texts = [one.path.read_text().replace("format = 1\n", "", 1) for one in made]
        return "format = 1\n" + "".join(texts)

    def parsers(self) -> dict[str, Parser]:
        """By the name of the command line."""
        return {
            "authorization": self.authorization(),
            "private-token": self.private_token(),
            "jwt": self.jwt(),
            "dpop": self.dpop(),
            "sd-jwt": self.sd_jwt(),
            "mdoc": self.mdoc(),
            "attestation": self.attestation(),
            "issuers": self.issuers(),
        }

    # ---- each parser ----

    def authorization(self) -> Parser:
        """The headers as a client sends them: any answer but a fault of ours."""
        token = DOCUMENT.token(self.digest)
        header = st.text(st.characters(max_codepoint=255), max_size=80).map(_latin)
        known = {
            "pp-under18-v1": f'PrivateToken token="{token}"',
            "jwt-age-v1": f"DPoP {self.world.token()}",
            "sdjwt-age-v1": f"SDJWT-VP {self.wallet.present()}",
            "mdoc-age-v1": f"MDOC-VP {self.papers.present()}",
            "counsellor-attested-v1": f"Attestation {self.helpline.attestation()}",
        }
        sent = header | st.sampled_from([*known.values()]).flatmap(spoilt).map(_latin)
        own = st.sampled_from([*known]).flatmap(
            lambda profile: st.tuples(st.just(profile), spoilt(known[profile]).map(_latin))
        )
        whole = cbor2.dumps(self.papers.response())
        strange = self._flips(whole).map(lambda raw: ("mdoc-age-v1", f"MDOC-VP {b64(raw)}"))
        shown = st.tuples(st.sampled_from(_PROFILES), sent) | own | strange
        return Parser(st.tuples(shown, st.none() | header), self._post)

    def _post(self, case: tuple[tuple[str, str], str | None]) -> None:
        (profile, header), proof = case
        hashes = {"sha256": "ab" * 32}
        body = {
            "case_key": "00" * 32,
            "age": {"profile": profile, "band": "13_15"},
            "items": [{"kind": "photo", "hashes": hashes, "platforms": []}],
        }
        sent = {"Authorization": header, "Idempotency-Key": "a-key-of-sixteen-octets"}
        sent |= {} if proof is None else {"DPoP": proof}
        answer = self.client.post("/v1/reports", json=body, headers=sent)
        assert 400 <= answer.status_code < 500, answer.status_code

    def private_token(self) -> Parser:
        whole = DOCUMENT.token(self.digest)
        other = st.binary(min_size=32, max_size=32)
        kind, nonce = st.binary(min_size=2, max_size=2), other | st.just(NONCE)
        signed = st.tuples(
            kind | st.just(b"\0\2"), nonce, other | st.just(self.digest), other | st.just(b"")
        )

        def check(case: str | tuple[bytes, bytes, bytes, bytes]) -> None:
            if isinstance(case, str):
                _accepts_only(self.broker.verify, case, whole)
                return
            kind, nonce, digest, key_id = case
            token = DOCUMENT.token(digest, kind, nonce, key_id)
            if _taken(self.broker.verify, token):
                assert (kind, digest, key_id) == (b"\0\2", self.digest, b"")

        return Parser(spoilt(whole) | st.text(max_size=500) | signed, check)

    def jwt(self) -> Parser:
        whole = self.world.token()
        proof = self.world.proof(whole)
        signed = st.tuples(
            members("iss", "aud", "iat", "exp", "jti", "nonce", "cnf", "age_under_18"),
            members("typ", "alg", "kid", "jwk", "jku", "crit"),
        )

        def check(case: str | tuple[dict[str, Any], dict[str, Any]]) -> None:
            if isinstance(case, str):
                _accepts_only(lambda token: self.world.verify(token, proof), case, whole)
                return
            claims, header = self.world.claims(case[0]), self.world.header(case[1])
            if _taken(self.world.verify, self.world.token(*case)):
                assert _same(claims, self.world.claims(), "iat", "exp", "jti")
                assert header == self.world.header()

        return Parser(spoilt(whole) | st.text(max_size=300) | signed, check)

    def dpop(self) -> Parser:
        token = self.world.token()
        whole = self.world.proof(token)
        signed = st.tuples(
            members("jti", "htm", "htu", "iat", "ath", "body_sha256"),
            members("typ", "alg", "jwk", "kid"),
        )

        def check(case: str | tuple[dict[str, Any], dict[str, Any]]) -> None:
            if isinstance(case, str):
                _accepts_only(lambda proof: self.world.verify(token, proof or "x"), case, whole)
                return
            own = self.world.proof_claims(token)
            if _taken(lambda proof: self.world.verify(token, proof), self._proof(token, *case)):
                assert _same(changed(own, case[0]), own, "iat", "jti")

        return Parser(spoilt(whole) | st.text(max_size=300) | signed, check)

    def _proof(self, token: str, claims: dict[str, Any], header: dict[str, Any]) -> str:
        return self.world.proof(token, claims, header)

    def sd_jwt(self) -> Parser:
        whole = self.wallet.present()
        said = members("iss", "vct", "iat", "exp", "nbf", "cnf", "_sd_alg", "_sd", "status", "sub")
        shown = st.tuples(st.text(max_size=4), st.sampled_from(["18", "_sd", "..."]), _JSON)
        loose = st.lists(shown | st.lists(_JSON, max_size=4), max_size=3)
        bound = members("iat", "aud", "nonce", "sd_hash", "extra")
        signed = st.tuples(said, loose, bound, members("typ", "alg", "kid"), st.booleans())

        def check(case: Any) -> None:
            if isinstance(case, str):
                _accepts_only(self.wallet.verify, case, whole)
            else:
                self._show(*case)

        return Parser(spoilt(whole) | st.text("aA0.~-_=", max_size=60) | signed, check)

    def _show(self, said: Any, loose: list[Any], bound: Any, header: Any, listed: bool) -> None:
        """A presentation whose disclosures are listed in the credential, or are not."""
        texts = [disclosure(*parts) for parts in loose] or [UNDER_18]
        ages = {"_sd": [digest_of(text) for text in texts]} if listed else {"18": False}
        credential = self.wallet.credential({"age_equal_or_over": ages, **said})
        token = self.wallet.present(credential, texts, bound, header)
        if _taken(self.wallet.verify, token):
            claims = self.wallet.claims({"age_equal_or_over": ages, **said})
            own = self.wallet.claims({"age_equal_or_over": ages})
            free = ("iat", "exp", "nbf", "_sd", "_sd_alg", "status")
            assert _same(claims, own, *free)
            assert listed
            assert [parts[1:] for parts in map(list, loose)] in ([], [["18", False]])
            assert loose == [] or loose[0][2] is False

    def mdoc(self) -> Parser:
        whole = cbor2.dumps(self.papers.response())
        edit = st.tuples(st.integers(0, 2**31), st.integers(0, 12), st.binary(max_size=8))
        elements = st.lists(
            st.tuples(st.sampled_from(["age_over_18", "age_over_21", "birth_date"]), _JSON),
            max_size=3,
        )

        def check(case: Any) -> None:
            if isinstance(case, bytes):
                _accepts_nearly(self.papers.verify, case, whole)
            elif _taken(self.papers.verify, self.papers.present(*case)):
                assert case in ([], [("age_over_18", False)])
                assert not case or case[0][1] is False

        spoilt_bytes = st.lists(edit, max_size=4).map(lambda edits: _spoil_bytes(whole, edits))
        return Parser(spoilt_bytes | self._flips(whole) | st.binary(max_size=200) | elements, check)

    def _flips(self, whole: bytes) -> Strategy:
        """A few bits of its certificate turned: two faults meet checks that one never gets to."""
        certificate = der(self.papers.chain[0])
        start = whole.index(certificate)
        place = st.integers(start, start + len(certificate) - 1)
        bits = st.lists(st.tuples(place, st.integers(0, 7)), min_size=1, max_size=3)
        return bits.map(lambda chosen: _flipped(whole, chosen))

    def attestation(self) -> Parser:
        whole = self.helpline.attestation()
        signed = st.tuples(
            members("iss", "aud", "iat", "exp", "jti", "request", "age_under_18"),
            members("typ", "alg", "kid", "jwk"),
        )

        def check(case: str | tuple[dict[str, Any], dict[str, Any]]) -> None:
            if isinstance(case, str):
                _accepts_only(self.helpline.verify, case, whole)
                return
            claims, header = self.helpline.claims(case[0]), self.helpline.header(case[1])
            if _taken(self.helpline.verify, self.helpline.attestation(*case)):
                assert _same(claims, self.helpline.claims(), "iat", "exp", "jti")
                assert claims["request"] == CODE
                assert header == self.helpline.header()

        return Parser(spoilt(whole) | st.text(max_size=300) | signed, check)

    def issuers(self) -> Parser:
        whole = self.trusted()
        literals = st.sampled_from(_LITERALS)
        lines = whole.splitlines()

        def swapped(place: int, literal: str) -> str:
            name = lines[place % len(lines)].partition("=")[0]
            return (
                "\n".join([*lines[: place % len(lines)], f"{name}= {literal}"])
                + "\n"
                + ("\n".join(lines[place % len(lines) + 1 :]))
            )

        swap = st.builds(swapped, st.integers(0, 2**31), literals)
        return Parser(spoilt(whole) | st.text(max_size=200) | swap, _check_issuers)


def _check_issuers(text: str) -> None:
    try:
        issuers = parse(text)
    except BadIssuers:
        return
    entries: list[Signer | BlindIssuer] = [*issuers.blind, *issuers.staff]
    for issuer in [*entries, *issuers.jwt.values(), *issuers.credentials.values()]:
        assert 1 <= len(issuer.keys) <= 2
        assert issuer.trust.basis is not AgeBasis.DECLARED
        assert issuer.trust.valid_from_at < issuer.trust.valid_until_at
        assert issuer.id
        assert issuer.audience
    for document in issuers.documents.values():
        assert 1 <= len(document.anchors) <= 2
        assert all(anchor.extensions for anchor in document.anchors)


def _taken(verify: Callable[[str], object], token: str) -> bool:
    try:
        verify(token)
    except AgeRefused:
        return False
    return True


def _accepts_only(verify: Callable[[str], object], text: str, whole: str) -> None:
    if _taken(verify, text):
        assert text == whole


def _accepts_nearly(verify: Callable[[str], object], raw: bytes, whole: bytes) -> None:
    """ASN.1 has spare bits in a certificate's signature: one byte of nothing that was signed."""
    if _taken(verify, b64(raw)):
        assert len(raw) == len(whole)
        assert sum(one != other for one, other in zip(raw, whole, strict=True)) <= 1


def _same(one: dict[str, Any], other: dict[str, Any], *free: str) -> bool:
    """Whether both say the same, type for type, but for the members that are free."""
    return json.dumps({k: v for k, v in one.items() if k not in free}, sort_keys=True) == (
        json.dumps({k: v for k, v in other.items() if k not in free}, sort_keys=True)
    )


def feed(parser: Parser, examples: int, start: int) -> int:
    """Feed up to that many cases, and say how many; an error tells the smallest that breaks it."""
    fed = 0

    @seed(start)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(parser.cases)
    def once(case: Any) -> None:
        nonlocal fed
        fed += 1
        parser.check(case)

    once()
    return fed


@contextmanager
def bench() -> Iterator[Bench]:
    """Everything that is fuzzed, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        made = Bench(Path(folder))
        with made.stack:
            yield made


def main(arguments: list[str] | None = None) -> int:
    """Feed one parser or each in turn for so many minutes. 1 if anything broke."""
    options = _options(arguments)
    with bench() as made:
        parsers = made.parsers()
        for name in [options.parser] if options.parser else parsers:
            _feed_for(name, parsers[name], options.minutes)
    return 0


def _feed_for(name: str, parser: Parser, minutes: float) -> None:
    began, fed = time.monotonic(), 0
    while time.monotonic() < began + 60 * minutes:
        fed += feed(parser, 2000, random.SystemRandom().randrange(2**32))
    took = round((time.monotonic() - began) / 60, 1)
    print(json.dumps({"parser": name, "cases": fed, "minutes": took}), flush=True)  # noqa: T201


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.age", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for each parser (%(default)s)")
    parser.add_argument("--parser", help="one of them; all in turn if not given")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
