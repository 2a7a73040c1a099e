"""Whose age tokens count: a TOML file, checked whole, read again when it changes (docs/AGE.md)."""

from __future__ import annotations

import re
import threading
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.adapters.age.jose import ALGORITHMS, PublicKey, Unreadable, decode, read_public_key
from app.adapters.age.private_token import TokenKey
from app.domain.age import AgeBasis

FORMAT = 1
MOST_ISSUERS = 100
MOST_KEYS = 2  # the one in use and the one before or after it
_BASES = {str(basis): basis for basis in AgeBasis if basis is not AgeBasis.DECLARED}
_EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")


class BadIssuers(Exception):
    """The issuer file cannot be used; `problems` names each fault and its place, never a value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Trust:
    """What we take from an issuer's word: how strong it is, and when it counts."""

    basis: AgeBasis
    valid_from_at: datetime
    valid_until_at: datetime

    def holds(self, now: datetime) -> bool:
        """Whether its tokens count now."""
        return self.valid_from_at <= now < self.valid_until_at


@dataclass(frozen=True, slots=True)
class Issuer:
    """A signer of `jwt-age-v1` tokens: `keys` by `kid`, all of algorithm `alg`."""

    id: str
    audience: str
    trust: Trust
    alg: str
    keys: Mapping[str, PublicKey]


@dataclass(frozen=True, slots=True)
class BlindIssuer:
    """A signer of `pp-under18-v1` tokens for one basis; tokens are asked of `keys[0]`.

    `audience` is the `origin_info` of RFC 9577.
    """

    id: str
    audience: str
    trust: Trust
    keys: tuple[TokenKey, ...]


@dataclass(frozen=True, slots=True)
class Issuers:
    """Every trusted issuer: of `jwt-age-v1` by `iss`, of `pp-under18-v1` by key id."""

    jwt: Mapping[str, Issuer]
    blind: tuple[BlindIssuer, ...]
    blind_by_key: Mapping[bytes, tuple[BlindIssuer, TokenKey]]


class IssuerFile:
    """The issuers of a file. A change counts from the next `current()` on, without a restart.

    A changed file that is faulty or gone is told once to `on_refused`, and the issuers before it
    stay in force. Write a new file beside it and rename, so that no half of one is ever read.
    """

    def __init__(self, path: Path, on_refused: Callable[[BadIssuers], None]) -> None:
        """Raises BadIssuers if the file cannot be used at the start."""
        self._path = path
        self._on_refused = on_refused
        self._reading = threading.Lock()
        self._stamp = _stamp(path)
        self._issuers = load(path)

    def current(self) -> Issuers:
        """The issuers in force. Costs one stat() while the file stays as it is."""
        if _stamp(self._path) != self._stamp and self._reading.acquire(blocking=False):
            try:
                self._read_again()
            finally:
                self._reading.release()
        return self._issuers

    def _read_again(self) -> None:
        # The stamp is taken before the text: a write in between is seen the next time.
        self._stamp = _stamp(self._path)
        try:
            self._issuers = load(self._path)
        except BadIssuers as refused:
            self._on_refused(refused)


def load(path: Path) -> Issuers:
    """The issuers of a file. Raises BadIssuers with every problem of it."""
    try:
        return parse(path.read_text("utf-8"))
    except OSError:
        raise BadIssuers(["the file cannot be read"]) from None
    except UnicodeDecodeError:
        raise BadIssuers(["the file is not UTF-8"]) from None


def parse(text: str) -> Issuers:
    """The issuers of a TOML text in the format of docs/AGE.md. Raises BadIssuers."""
    problems: list[str] = []
    top = _Table("file", _toml(text), problems)
    if top.take("format") != FORMAT:
        problems.append(f"file: format must be {FORMAT}")
    entries = [_issuer(entry) for entry in top.tables("issuer", MOST_ISSUERS)]
    top.close()
    signers = [entry for entry in entries if isinstance(entry, Issuer)]
    blind = [entry for entry in entries if isinstance(entry, BlindIssuer)]
    problems.extend(_repetitions(signers, blind))
    if problems:
        raise BadIssuers(problems)
    by_key = {key.id: (issuer, key) for issuer in blind for key in issuer.keys}
    return Issuers(
        jwt=MappingProxyType({issuer.id: issuer for issuer in signers}),
        blind=tuple(blind),
        blind_by_key=MappingProxyType(by_key),
    )


class _Table:
    """One table of the file. What does not fit is a problem, and reading goes on."""

    def __init__(self, where: str, members: dict[str, Any], problems: list[str]) -> None:
        self.where = where
        self._members = dict(members)
        self._problems = problems

    def problem(self, words: str) -> None:
        self._problems.append(f"{self.where}: {words}")

    def take(self, name: str) -> Any:
        return self._members.pop(name, None)

    def text(self, name: str) -> str:
        value = self.take(name)
        if isinstance(value, str) and _VISIBLE.fullmatch(value):
            return value
        self.problem(f"{name} must be 1 to 255 visible ASCII characters")
        return ""

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.take(name)
        if value in choices:
            return str(value)
        self.problem(f"{name} must be one of {', '.join(choices)}")
        return ""

    def moment(self, name: str, otherwise: datetime) -> datetime:
        value = self.take(name)
        with suppress(OverflowError):  # the first and last hours of the calendar
            if isinstance(value, datetime) and value.tzinfo:
                return value.astimezone(UTC)
        self.problem(f"{name} must be a date and time with its offset")
        return otherwise

    def tables(self, name: str, most: int) -> list[_Table]:
        value = self.take(name)
        if not _is_tables(value) or not 1 <= len(value) <= most:
            self.problem(f"must have a list of 1 to {most} tables named {name}")
            return []
        place = "" if self.where == "file" else f"{self.where}, "
        return [
            _Table(f"{place}{name} {number}", entry, self._problems)
            for number, entry in enumerate(value, start=1)
        ]

    def rest(self) -> dict[str, Any]:
        members, self._members = self._members, {}
        return members

    def close(self) -> None:
        if self._members:
            # A name may hold anything, a pasted secret too: only its place is told.
            self.problem(f"has {len(self._members)} members that the format does not know")


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        place = re.search(r"at line \d+, column \d+", str(error))
        raise BadIssuers([f"the file is not TOML {place[0] if place else ''}".rstrip()]) from None


def _issuer(entry: _Table) -> Issuer | BlindIssuer | None:
    profile = entry.choice("profile", ("jwt-age-v1", "pp-under18-v1"))
    issuer_id, audience, trust = entry.text("id"), entry.text("audience"), _trust(entry)
    issuer: Issuer | BlindIssuer | None = None
    if profile == "jwt-age-v1":
        alg = entry.choice("alg", ALGORITHMS)
        issuer = Issuer(issuer_id, audience, trust, alg, _signing_keys(entry, alg))
    elif profile == "pp-under18-v1":
        issuer = BlindIssuer(issuer_id, audience, trust, _blind_keys(entry))
    if profile:
        entry.close()
    return issuer


def _trust(entry: _Table) -> Trust:
    basis = entry.choice("basis", tuple(_BASES))
    trust = Trust(
        _BASES.get(basis, AgeBasis.DECLARED),
        entry.moment("valid_from_at", _EVER[0]),
        entry.moment("valid_until_at", _EVER[1]),
    )
    if trust.valid_from_at >= trust.valid_until_at:
        entry.problem("valid_from_at must come before valid_until_at")
    return trust


def _signing_keys(entry: _Table, alg: str) -> Mapping[str, PublicKey]:
    keys = [
        (table.text("kid"), _signing_key(table, alg)) for table in entry.tables("keys", MOST_KEYS)
    ]
    if len({kid for kid, _ in keys}) < len(keys):
        entry.problem("two keys have one kid")
    return MappingProxyType({kid: key for kid, key in keys if key})


def _signing_key(table: _Table, alg: str) -> PublicKey | None:
    if table.take("use") not in (None, "sig"):
        table.problem("use must be sig")
    if table.take("alg") not in (None, alg):
        table.problem("alg differs from the issuer's")
    members = table.rest()
    if "d" in members:
        table.problem("holds a PRIVATE key: treat it as lost and make another")
        return None
    try:
        key = read_public_key(members)
    except Unreadable:
        table.problem("is not a public JWK of kty OKP and crv Ed25519, or kty EC and crv P-256")
        return None
    if alg and key.alg != alg:
        table.problem("is not a key for the issuer's alg")
    return key


def _blind_keys(entry: _Table) -> tuple[TokenKey, ...]:
    keys = [_blind_key(table) for table in entry.tables("keys", MOST_KEYS)]
    return tuple(key for key in keys if key)


def _blind_key(table: _Table) -> TokenKey | None:
    spki = table.take("spki")
    table.close()
    try:
        return TokenKey.parse(decode(spki.rstrip("=") if isinstance(spki, str) else ""))
    except Unreadable:
        table.problem("spki is not base64url of a 2048-bit key for token type 0x0002 (RFC 9578)")
        return None


def _repetitions(signers: list[Issuer], blind: list[BlindIssuer]) -> Iterator[str]:
    if _repeats(issuer.id for issuer in signers if issuer.id):
        yield "file: two issuers of jwt-age-v1 have one id"
    if _repeats((issuer.id, issuer.trust.basis) for issuer in blind if issuer.id):
        yield "file: two issuers of pp-under18-v1 have one id and basis"
    # A key is the claim: were it under two bases, the token would not say which.
    if _repeats(key.id for issuer in blind for key in issuer.keys):
        yield "file: two issuers of pp-under18-v1 have one key"


def _repeats(values: Iterable[object]) -> bool:
    return any(count > 1 for count in Counter(values).values())


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
