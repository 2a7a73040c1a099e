"""Whose age tokens count: a TOML file, checked whole, read again when it changes (docs/AGE.md)."""

from __future__ import annotations

import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from cryptography.x509 import Certificate, load_der_x509_certificate

from app.adapters.age.jose import ALGORITHMS, PublicKey, Unreadable, decode, read_public_key
from app.adapters.age.private_token import TokenKey
from app.adapters.age.table import NotToml, Table, read_toml
from app.adapters.age.trust import (
    BlindIssuer,
    CredentialIssuer,
    DocumentIssuer,
    Issuer,
    Issuers,
    Signer,
    StaffIssuer,
    Trust,
)
from app.domain.age import AgeBasis

FORMAT = 1
MOST_ISSUERS = 100
MOST_KEYS = 2  # the one in use and the one before or after it
_BASES = {str(basis): basis for basis in AgeBasis if basis is not AgeBasis.DECLARED}
_EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_MOST_FRESH_DAYS = 31


_Entry = BlindIssuer | Signer | DocumentIssuer


class _Common(NamedTuple):
    """What every entry has."""

    id: str
    audience: str
    trust: Trust


class BadIssuers(Exception):
    """The issuer file cannot be used; `problems` names each fault and its place, never a value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class IssuerFile:
    """The issuers of a file. A change counts without a restart.

    A changed file that is faulty or gone is told once to `on_refused`, and the issuers before it
    stay in force. Write a new file beside it and rename, so that no half of one is ever read.
    """

    def __init__(
        self, path: Path, on_refused: Callable[[BadIssuers], None], look_every: float = 0.1
    ) -> None:
        """A change counts after `look_every` seconds at the latest.

        Raises BadIssuers if the file cannot be used at the start.
        """
        self._path = path
        self._on_refused = on_refused
        self._look_every = look_every
        self._look_at = 0.0
        self._reading = threading.Lock()
        self._stamp = _stamp(path)
        self._issuers = load(path)

    def current(self) -> Issuers:
        """The issuers in force."""
        # A look at each proof took a twentieth of the time that the proof takes.
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self._look_every
            self._look()
        return self._issuers

    def _look(self) -> None:
        if _stamp(self._path) != self._stamp and self._reading.acquire(blocking=False):
            try:
                self._read_again()
            finally:
                self._reading.release()

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
    top = Table("file", _toml(text), problems)
    if top.take("format") != FORMAT:
        problems.append(f"file: format must be {FORMAT}")
    entries = [_issuer(entry) for entry in top.tables("issuer", MOST_ISSUERS)]
    top.close()
    blind = [entry for entry in entries if isinstance(entry, BlindIssuer)]
    signers = [entry for entry in entries if isinstance(entry, Issuer)]
    credentials = [entry for entry in entries if isinstance(entry, CredentialIssuer)]
    staff = [entry for entry in entries if isinstance(entry, StaffIssuer)]
    documents = [entry for entry in entries if isinstance(entry, DocumentIssuer)]
    problems.extend(_blind_repetitions(blind))
    problems.extend(_repetitions("jwt-age-v1", signers))
    problems.extend(_repetitions("sdjwt-age-v1", credentials))
    problems.extend(_repetitions("mdoc-age-v1", documents))
    problems.extend(_staff_repetitions(staff))
    if problems:
        raise BadIssuers(problems)
    by_id = {issuer.id: issuer for issuer in credentials}
    by_kid = {(issuer.id, kid): issuer for issuer in staff for kid in issuer.keys}
    return Issuers(
        jwt=MappingProxyType({issuer.id: issuer for issuer in signers}),
        blind=tuple(blind),
        blind_by_key=MappingProxyType({k.id: (issuer, k) for issuer in blind for k in issuer.keys}),
        credentials=MappingProxyType(by_id),
        staff=tuple(staff),
        staff_by_key=MappingProxyType(by_kid),
        documents=MappingProxyType({issuer.id: issuer for issuer in documents}),
    )


def _toml(text: str) -> dict[str, Any]:
    try:
        return read_toml(text)
    except NotToml as fault:
        raise BadIssuers([str(fault)]) from None


def _issuer(entry: Table) -> _Entry | None:
    profile = entry.choice("profile", tuple(_READERS))
    common = _Common(entry.text("id"), entry.text("audience"), _trust(entry))
    if not profile:
        return None
    issuer = _READERS[profile](entry, common)
    entry.close()
    return issuer


def _blind_issuer(entry: Table, common: _Common) -> BlindIssuer:
    return BlindIssuer(*common, _blind_keys(entry), entry.address("pass_url"))


def _jwt_issuer(entry: Table, common: _Common) -> Issuer:
    return Issuer(*common, *_signing(entry))


def _credential_issuer(entry: Table, common: _Common) -> CredentialIssuer:
    fresh = timedelta(days=entry.whole("fresh_days", 1, _MOST_FRESH_DAYS))
    return CredentialIssuer(*common, *_signing(entry), entry.text("vct"), fresh)


def _staff_issuer(entry: Table, common: _Common) -> StaffIssuer:
    if common.trust.basis not in (AgeBasis.COUNSELLOR_ATTESTED, AgeBasis.DECLARED):
        entry.problem("basis must be counsellor_attested: staff vouch, they check no document")
    return StaffIssuer(*common, *_signing(entry), entry.text("staff"))


def _document_issuer(entry: Table, common: _Common) -> DocumentIssuer:
    fresh = timedelta(days=entry.whole("fresh_days", 1, _MOST_FRESH_DAYS))
    anchors = [_anchor(entry, text) for text in entry.texts("anchors", MOST_KEYS)]
    found = tuple(anchor for anchor in anchors if anchor)
    return DocumentIssuer(*common, entry.text("namespace"), found, fresh)


def _anchor(entry: Table, text: str) -> Certificate | None:
    try:
        anchor = load_der_x509_certificate(b64decode(text, validate=True))
        # Read only when they are used: here an operator hears of it.
        _ = anchor.subject, anchor.issuer, anchor.extensions, anchor.public_key()
    except Exception:  # noqa: BLE001 - cryptography has many ways to say no
        entry.problem("anchors must be certificates, base64 of DER")
        return None
    return anchor


_READERS: dict[str, Callable[[Table, _Common], _Entry]] = {
    "jwt-age-v1": _jwt_issuer,
    "pp-under18-v1": _blind_issuer,
    "sdjwt-age-v1": _credential_issuer,
    "counsellor-attested-v1": _staff_issuer,
    "mdoc-age-v1": _document_issuer,
}


def _trust(entry: Table) -> Trust:
    basis = entry.choice("basis", tuple(_BASES))
    trust = Trust(
        _BASES.get(basis, AgeBasis.DECLARED),
        entry.moment("valid_from_at", _EVER[0]),
        entry.moment("valid_until_at", _EVER[1]),
    )
    if trust.valid_from_at >= trust.valid_until_at:
        entry.problem("valid_from_at must come before valid_until_at")
    return trust


def _signing(entry: Table) -> tuple[str, Mapping[str, PublicKey]]:
    alg = entry.choice("alg", ALGORITHMS)
    return alg, _signing_keys(entry, alg)


def _signing_keys(entry: Table, alg: str) -> Mapping[str, PublicKey]:
    keys = [
        (table.text("kid"), _signing_key(table, alg)) for table in entry.tables("keys", MOST_KEYS)
    ]
    if len({kid for kid, _ in keys}) < len(keys):
        entry.problem("two keys have one kid")
    return MappingProxyType({kid: key for kid, key in keys if key})


def _signing_key(table: Table, alg: str) -> PublicKey | None:
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


def _blind_keys(entry: Table) -> tuple[TokenKey, ...]:
    keys = [_blind_key(table) for table in entry.tables("keys", MOST_KEYS)]
    return tuple(key for key in keys if key)


def _blind_key(table: Table) -> TokenKey | None:
    spki = table.take("spki")
    table.close()
    try:
        return TokenKey.parse(decode(spki.rstrip("=") if isinstance(spki, str) else ""))
    except Unreadable:
        table.problem("spki is not base64url of a 2048-bit key for token type 0x0002 (RFC 9578)")
        return None


def _repetitions(profile: str, signers: Sequence[Signer | DocumentIssuer]) -> Iterator[str]:
    if _repeats(issuer.id for issuer in signers if issuer.id):
        yield f"file: two issuers of {profile} have one id"


def _blind_repetitions(blind: Sequence[BlindIssuer]) -> Iterator[str]:
    if _repeats((issuer.id, issuer.trust.basis) for issuer in blind if issuer.id):
        yield "file: two issuers of pp-under18-v1 have one id and basis"
    # A key is the claim: were it under two bases, the token would not say which.
    if _repeats(key.id for issuer in blind for key in issuer.keys):
        yield "file: two issuers of pp-under18-v1 have one key"


def _staff_repetitions(staff: Sequence[StaffIssuer]) -> Iterator[str]:
    if _repeats((issuer.id, issuer.staff) for issuer in staff if issuer.id and issuer.staff):
        yield "file: two issuers of counsellor-attested-v1 have one id and staff"
    # A kid under two seats would outlive the one that is taken out.
    if _repeats((issuer.id, kid) for issuer in staff for kid in issuer.keys if issuer.id):
        yield "file: two issuers of counsellor-attested-v1 have one id and kid"


def _repeats(values: Iterable[object]) -> bool:
    return any(count > 1 for count in Counter(values).values())


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
