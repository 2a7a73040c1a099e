"""Age proofs verified a second, beside the bare signature checks: `python -m bench.age`.

One thread for each profile. For Privacy Pass also with its durable spend: as many threads as the
service has, sharing a processor as they do there, verify and commit through the real store, against
what bare verification and an insert in groups as large, each measured alone in the same round,
allow together.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.adapters.file_keys import FileKeyRing, create_root_key
from app.adapters.sqlite.store import SqliteStore
from app.adapters.system import OneProcessor
from app.domain.age import AgeBand, Presentation
from app.ports import AgeVerifier, SpendToken
from bench.backlog import as_served
from partners.ports import KeyRing, Purpose
from tests.adapters.age.blinding import DOCUMENT, PSS, Broker
from tests.adapters.age.documents import Papers
from tests.adapters.age.minting import BODY, NOW, URL, World
from tests.adapters.age.vouching import Helpline
from tests.adapters.age.wallets import Wallet

AIM = 0.60
THREADS = 16  # as REPORT_REMOVE_THREADS is set
Check = Callable[[], object]


@dataclass(frozen=True)
class Kind:
    """A profile: one whole verification, and only the signatures in it."""

    name: str
    whole: Check
    bare: Check


@dataclass(frozen=True)
class Round:
    """Tokens a second: bare verification, grouped inserts, both as the service does them."""

    verified: float
    inserted: float
    spent: float

    @property
    def allowed(self) -> float:
        """What the two allow together, one after the other."""
        return 1 / (1 / self.verified + 1 / self.inserted)


def kinds(folder: Path) -> Iterator[Kind]:
    """Every profile that has a signature."""
    broker = Broker(folder / "blind.toml")
    yield _kind(broker.verifier, "pp-under18-v1", DOCUMENT.token(broker.digest()), None, _rsa)
    (folder / "jwt").mkdir()
    world = World(folder / "jwt")
    token = world.token()
    yield _kind(world.verifier, "jwt-age-v1", token, world.proof(token), _two)
    (folder / "wallet").mkdir()
    wallet = Wallet(folder / "wallet")
    yield _kind(wallet.verifier, "sdjwt-age-v1", wallet.present(), None, _two)
    (folder / "helpline").mkdir()
    helpline = Helpline(folder / "helpline")
    yield _kind(helpline.verifier, "counsellor-attested-v1", helpline.attestation(), None, _ed25519)
    (folder / "papers").mkdir()
    papers = Papers(folder / "papers")
    yield _kind(papers.verifier, "mdoc-age-v1", papers.present(), None, _three)


def _kind(
    verifier: AgeVerifier, name: str, token: str, proof: str | None, bare: Callable[[], Check]
) -> Kind:
    shown = _shown(name, token, proof)
    return Kind(name, lambda: verifier.verify(shown, NOW), bare())


def _shown(profile: str, token: str, proof: str | None = None) -> Presentation:
    digest = sha256(BODY).digest()
    return Presentation(profile, AgeBand.UNDER_13, digest, "POST", URL, token, proof)


def _rsa() -> Check:
    signed = bytes(98)
    signature = DOCUMENT.key.sign(signed, PSS, hashes.SHA384())
    key = DOCUMENT.key.public_key()
    return lambda: key.verify(signature, signed, PSS, hashes.SHA384())


def _ed25519() -> Check:
    private, signed = Ed25519PrivateKey.generate(), bytes(400)
    signature, key = private.sign(signed), private.public_key()
    return lambda: key.verify(signature, signed)


def _es256() -> Check:
    private, signed = ec.generate_private_key(ec.SECP256R1()), bytes(400)
    signature, key = private.sign(signed, ec.ECDSA(hashes.SHA256())), private.public_key()
    return lambda: key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))


def _two() -> Check:
    """An issuer's Ed25519 and a device's ES256, as in the tokens measured."""
    first, second = _ed25519(), _es256()
    return lambda: (first(), second())


def _three() -> Check:
    """ES256 of the signer's certificate, of the document and of the device."""
    each = [_es256() for _ in range(3)]
    return lambda: [check() for check in each]


def rate(check: Check, times: int) -> float:
    """Calls a second of this thread's own processor time, whatever else the machine does."""
    began = time.thread_time()
    for _ in range(times):
        check()
    return times / (time.thread_time() - began)


# ---- with the durable spend ----------------------------------------------------------------------


@dataclass(frozen=True)
class Spending:
    """Tokens of one broker, and a service that takes each once."""

    broker: Broker
    tokens: Sequence[str]
    keys: KeyRing

    def bare(self) -> float:
        """Signature checks a second of these tokens, already in parts."""
        key = DOCUMENT.key.public_key()
        raw = [base64.urlsafe_b64decode(token) for token in self.tokens]
        algorithm = hashes.SHA384()
        began = time.perf_counter()
        for token in raw:
            key.verify(token[98:], token[:98], PSS, algorithm)
        return len(raw) / (time.perf_counter() - began)

    def inserted(self, folder: Path, group: int) -> float:
        """Rows a second, durably, so many in a transaction."""
        with _store(folder) as store:
            store.ping()  # makes the tables
        tags = [(sha256(token.encode()).digest(), 1) for token in self.tokens]
        with closing(sqlite3.connect(_database(folder), isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            began = time.perf_counter()
            for at in range(0, len(tags), group):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "INSERT INTO spent_tokens VALUES (?, ?)", tags[at : at + group]
                )
                connection.execute("COMMIT")
            return len(tags) / (time.perf_counter() - began)

    def spent(self, folder: Path) -> tuple[float, float]:
        """Tokens a second verified and spent by THREADS threads; and how many shared a commit."""
        one = OneProcessor.drawn()
        with as_served(one), _store(folder) as store, ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda _: time.sleep(0.01), range(THREADS)))  # every thread is there
            shown = [_shown("pp-under18-v1", token) for token in self.tokens]
            shares = [shown[at::THREADS] for at in range(THREADS)]
            gc.freeze()  # as `serve` does once it has started
            before, began = store.commits, time.perf_counter()
            list(pool.map(lambda share: self._spend(store, share), shares))
            took = time.perf_counter() - began
            return len(self.tokens) / took, len(self.tokens) / (store.commits - before)

    def _spend(self, store: SqliteStore, shown: Sequence[Presentation]) -> None:
        for one in shown:
            claim = self.broker.verifier.verify(one, NOW)
            if claim.spend is not None:
                tag = self.keys.tag(Purpose.SPENT_TOKEN, claim.spend.value)
                store.commit(SpendToken(tag, claim.spend.expires_at))


@contextmanager
def _store(folder: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(_database(folder), lambda _: None)
    try:
        yield store
    finally:
        store.close()


def _database(folder: Path) -> Path:
    return folder / "report-remove.db"


def spending(folder: Path, count: int) -> Spending:
    """That many different tokens. Their signing takes most of a run's time."""
    broker = Broker(folder / "issuers.toml")
    digest = broker.digest()
    tokens = [DOCUMENT.token(digest, nonce=number.to_bytes(32, "big")) for number in range(count)]
    create_root_key(folder / "root.key")
    return Spending(broker, tokens, FileKeyRing(folder / "root.key"))


def rounds(made: Spending, folder: Path, count: int) -> Iterator[tuple[Round, float]]:
    """One measurement after another, each on fresh databases; and the size of its groups."""
    for number in range(count):
        alone, real = folder / f"alone-{number}", folder / f"real-{number}"
        alone.mkdir()
        real.mkdir()
        spent, group = made.spent(real)
        verified, inserted = made.bare(), made.inserted(alone, max(1, round(group)))
        yield Round(verified, inserted, spent), group


def main() -> int:
    """Measure and print the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=6000, help="in a round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="%(default)s")
    options = parser.parse_args()
    print(f"{'a second, one thread':28}{'whole':>9}{'bare':>9}{'ratio':>7}")
    with tempfile.TemporaryDirectory(prefix="bench-age-") as name:
        for kind in kinds(Path(name)):
            _print_kind(kind)
        (Path(name) / "spend").mkdir()
        made = spending(Path(name) / "spend", options.tokens)
        found = list(rounds(made, Path(name) / "spend", options.rounds))
    _print_rounds(found)
    return 0


def _print_kind(kind: Kind) -> None:
    pairs = [(rate(kind.whole, 500), rate(kind.bare, 500)) for _ in range(7)]
    whole, bare = max(w for w, _ in pairs), max(b for _, b in pairs)
    ratio = statistics.median(w / b for w, b in pairs)
    print(f"{kind.name:28}{whole:9.0f}{bare:9.0f}{ratio:7.2f}")


def _print_rounds(found: Sequence[tuple[Round, float]]) -> None:
    print(f"\n{'pp-under18-v1, a second':28}{'verify':>9}{'insert':>9}{'both':>9}{'spent':>9}")
    for measured, group in found:
        row = (measured.verified, measured.inserted, measured.allowed, measured.spent)
        print(f"{f'in groups of {group:.0f}':28}" + "".join(f"{value:9.0f}" for value in row))
    ratio = statistics.median(one.spent / one.allowed for one, _ in found)
    print(f"of what the parts allow: {ratio:.2f} (aim {AIM})")
    figure = {
        "figure": "Privacy Pass tokens verified and durably spent a second",
        "value": round(statistics.median(one.spent for one, _ in found)),
        "limit": round(statistics.median(one.allowed for one, _ in found)),
        "ratio": round(ratio, 3),
    }
    print(json.dumps(figure))


if __name__ == "__main__":
    sys.exit(main())
