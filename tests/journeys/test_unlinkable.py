"""Whoever has everything of the broker's and everything of ours cannot tell whose pass was whose.

A thousand passes are signed by a real broker and shown to a real service, each behind a tap that
keeps every byte. Then one side is searched in the other. What is not asked here is what the times
tell: docs/THREAT-MODEL.md.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import re
import secrets
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from app.client import broker as visiting
from app.client import privacy_pass
from app.client.broker import development, fetch
from app.client.privacy_pass import Asked, Blinded, NoPass, Why, authorization, blind
from app.client.service import Service, report_body
from app.services.catalogue import Services
from bench.pass_times import table
from infra.broker.grants import person_tag
from partners.ports import Purpose
from tests.infra.broker.conftest import SoftHsm, device
from tests.infra.broker.running import write
from tests.journeys.calls import a_case_key, a_photo
from tests.journeys.linking import (
    Windows,
    alike,
    among,
    common,
    likenesses,
    plain_windows,
    spellings,
    windows,
)
from tests.journeys.processes import ROOT, Installation, Processes, Running
from tests.journeys.wiretap import Exchange, Wiretap, tapped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOKENS = 1000
FEW = 12
EACH = 3  # tokens of one visit
SAMPLE = 40
SEED = 5
EXPONENT = 65537
# What has nothing to do with each other has a |rho| above this times 1/sqrt(n - 1) once in
# 1,700,000 cases; twenty pairs of columns are looked at.
SIGMAS = 5
PROVIDER = "development"
PROFILES = "pp-under18-v1,declared-v1"
# What both sides hold and why it tells nothing: it is the same for everybody. (With the issuer's
# key, which is one for all and pinned on both sides.)
EVERYBODYS = {
    "the service's name: in the broker's list of places to go back to": b"young.example",
    "what the key says: the claim, and the issuer's name begins with it": b"under18-document",
}
SAID_LATER = (b'"event": "broker.stopped"', b'"event": "service.stopped"')
ISSUERS = """
format = 1

[[issuer]]
profile = "pp-under18-v1"
id = "under18-document.broker.example"
audience = "young.example"
basis = "verified_document"
valid_from_at = 2026-01-01T00:00:00Z
valid_until_at = 2100-01-01T00:00:00Z
keys = [{{ spki = "{spki}" }}]
"""


@dataclass
class Side:
    """The broker's or the service's half: its process, its tap, and where it writes."""

    running: Running
    tap: Wiretap
    folder: Path
    pages: set[bytes] = field(default_factory=set)

    def look(self) -> None:
        """Take up every page of every file: a journal may be gone a moment later."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                raw = path.read_bytes()
                self.pages.update(raw[at : at + 4096] for at in range(0, len(raw), 4096))

    @property
    def kept(self) -> list[bytes]:
        """All it ever had in a file, and all it said."""
        return [*self.pages, self.running.out.read_bytes(), self.running.err.read_bytes()]

    @property
    def everything(self) -> list[bytes]:
        return [*self.kept, *self.tap.everything]


@dataclass
class Pass:
    """One pass, in the order of the signing: what each side was shown of it."""

    person: str
    token: bytes
    blinded: Blinded
    signature: bytes

    @property
    def nonce(self) -> bytes:
        return self.token[2:34]

    @property
    def authenticator(self) -> bytes:
        return self.token[98:]

    @property
    def message(self) -> bytes:
        """What the broker signed blind, 256 bytes."""
        return self.blinded.request[3:]


@dataclass
class Ends:
    """Both ends, and what went through them."""

    broker: Side
    service: Side
    installation: Installation
    asked: Asked
    passes: list[Pass] = field(default_factory=list)
    others: list[Pass] = field(default_factory=list)
    day_keys: set[bytes] = field(default_factory=set)
    public: Windows = field(default_factory=lambda: windows([]))

    @cached_property
    def here(self) -> Windows:
        """Everything of the broker's, once all is over."""
        return windows(self.broker.everything)

    @cached_property
    def there(self) -> Windows:
        """Everything of the service's, once all is over."""
        return windows(self.service.everything)

    @property
    def modulus(self) -> int:
        return int.from_bytes(self.asked.spki[-261:-5], "big")

    def run(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """So many passes are fetched, by persons who each come once; then shown in another order.

        Somebody else goes the whole way before them: what is the same for everybody is seen then.
        """
        made: list[Blinded] = []

        def noting(asked: Asked) -> Blinded:
            made.append(blind(asked))
            return made[-1]

        monkeypatch.setattr(visiting, "blind", noting)
        self._go(self.others, EACH, made)
        seen = [*self.broker.everything, *self.service.everything, *SAID_LATER]
        self.public = windows(seen)
        self._go(self.passes, count, made)
        self._note_day_keys()

    def _go(self, passes: list[Pass], count: int, made: list[Blinded]) -> None:
        while len(passes) < count:
            passes.extend(self._visit(min(EACH, count - len(passes)), made))
        for one in random.Random(SEED).sample(passes, len(passes)):
            self._show(one)
        self.service.look()

    def _visit(self, count: int, made: list[Blinded]) -> list[Pass]:
        person = f"{secrets.token_hex(12)}@people.example"
        tokens = fetch(self.broker.tap.url, self.asked, development(15, person), count)
        answers = [one.answered.partition(b"\r\n\r\n")[2] for one in signings(self)[-count:]]
        self.broker.look()
        if not self.day_keys:
            self._note_day_keys()
        return [Pass(person, *one) for one in zip(tokens, made[-count:], answers, strict=True)]

    def _show(self, one: Pass) -> None:
        body = report_body(a_case_key(), privacy_pass.PROFILE, "13_15", [a_photo()])
        headers = {"Authorization": authorization(one.token)}
        Service(self.service.tap.url).send("/v1/reports", body, headers, tries=1)

    def _note_day_keys(self) -> None:
        """At the begin and at the end: a run may last over midnight, which deletes one."""
        rows = read(self.broker.folder / "day.sqlite", "SELECT key FROM day_key")
        self.day_keys |= {key for (key,) in rows}

    # ---- what the two sides know --------------------------------------------------------------

    def person_tags(self) -> list[bytes]:
        """Under which tag the broker keeps the count of each pass's person."""
        rows = read(self.broker.folder / "day.sqlite", "SELECT person_tag FROM granted")
        kept = {tag for (tag,) in rows}
        tags = [
            [tag for key in self.day_keys if (tag := person_tag(key, PROVIDER, one.person)) in kept]
            for one in self.passes
        ]
        return [tag for (tag,) in tags]

    def spent_tags(self) -> list[bytes]:
        """Under which tag the service keeps that each pass is spent."""
        key_id = self.asked.key_id
        values = [hashlib.sha256(key_id + hashlib.sha256(o.nonce).digest()) for o in self.passes]

        def tags(services: Services) -> list[bytes]:
            tag = services.house.keys.tag
            return [tag(Purpose.SPENT_TOKEN, value.digest()) for value in values]

        found: list[bytes] = self.installation.acting(tags)
        return found

    def encoded(self, one: Pass) -> bytes:
        """What was blinded: whoever has the token can compute it."""
        number = pow(int.from_bytes(one.authenticator, "big"), EXPONENT, self.modulus)
        return number.to_bytes(256, "big")

    def factor(self, visit: Pass, token: Pass) -> int:
        """The blinding factor by which that visit would have given that token."""
        back = pow(int.from_bytes(token.authenticator, "big"), -1, self.modulus)
        return int.from_bytes(visit.signature, "big") * back % self.modulus


def signings(ends: Ends) -> list[Exchange]:
    """The token requests at the broker, in their order."""
    return [one for one in ends.broker.tap.exchanges if one.sent.startswith(b"POST /token-request")]


def read(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        return connection.execute(query).fetchall()


def places(found: Sequence[bytes], among: Sequence[bytes]) -> list[int]:
    """Where each was seen on the wire, which is the only order that an end is given."""
    where = {text: place for place, text in enumerate(among)}
    return [where[text] for text in found]


# ---- the search -----------------------------------------------------------------------------


def shared(ends: Ends) -> list[bytes]:
    """What one side had, said or was sent, and the other too, and not everybody's."""
    return common(ends.here, ends.there, ends.public)


def derived(ends: Ends) -> list[bytes]:
    """What the service can compute of what it was shown, at the broker; and the other way."""
    ours = windows([*map(ends.encoded, ends.passes), *ends.spent_tags()])
    theirs = windows(ends.person_tags())
    return [
        *common(ours, ends.here, ends.public),
        *common(theirs, ends.there, ends.public),
    ]


def kept_by_broker(ends: Ends) -> list[bytes]:
    """What the broker wrote down of anything that it was sent or answered."""
    wire = windows(ends.broker.tap.everything)
    return common(windows(ends.broker.kept), wire, ends.public)


def kept_by_service(ends: Ends) -> list[bytes]:
    """What the service wrote down of the tokens that it was shown."""
    tokens = windows(one.token for one in ends.passes)
    return common(windows(ends.service.kept), tokens, ends.public)


def ordered_alike(ends: Ends) -> dict[tuple[str, str], float]:
    """The columns of both sides whose orders have to do with each other."""
    columns = likenesses(*(numbers(side) for side in (at_broker(ends), at_service(ends))))
    most = SIGMAS / (len(ends.passes) - 1) ** 0.5
    return {names: rho for names, rho in columns.items() if abs(rho) > most}


def at_broker(ends: Ends) -> dict[str, Sequence[int | bytes]]:
    """Columns of what the broker knows, a row for each pass."""
    messages = [one.message for one in ends.passes]
    seen = [one.sent[-256:] for one in signings(ends)]
    return {
        "when it was asked": places(messages, seen),
        "message": messages,
        "signature": [one.signature for one in ends.passes],
        "person": ends.person_tags(),
    }


def at_service(ends: Ends) -> dict[str, Sequence[int | bytes]]:
    """Columns of what the service knows, a row for each pass."""
    headers = [authorization(one.token).encode() for one in ends.passes]
    seen = [
        line.partition(b": ")[2]
        for one in ends.service.tap.exchanges
        for line in one.sent.partition(b"\r\n\r\n")[0].split(b"\r\n")
        if line.startswith(b"Authorization: ")
    ]
    return {
        "when it was shown": places(headers, seen),
        "nonce": [one.nonce for one in ends.passes],
        "authenticator": [one.authenticator for one in ends.passes],
        "what was blinded": [ends.encoded(one) for one in ends.passes],
        "spent": ends.spent_tags(),
    }


def numbers(columns: Mapping[str, Sequence[int | bytes]]) -> dict[str, list[int]]:
    return {
        name: [one if isinstance(one, int) else int.from_bytes(one, "big") for one in column]
        for name, column in columns.items()
    }


def telling_factors(ends: Ends) -> list[int]:
    """Blinding factors of the true pairs by which somebody who tries all pairs would know them."""
    factors = [ends.factor(one, one) for one in ends.passes]
    twice = [factor for factor, count in Counter(factors).items() if count > 1]
    return [*twice, *(f for f in factors if min(f, ends.modulus - f).bit_length() < 1900)]


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> tuple[SoftHsm, str]:
    """A key device with the broker's two keys, and the SPKI of the first, base64url."""
    folder = tmp_path_factory.mktemp("hsm")
    token = device(folder)
    path = configured(folder, token)
    spki = [made_key(path, token, label) for label in ("document", "estimate")]
    return token, spki[0]


def configured(folder: Path, token: SoftHsm) -> Path:
    path = write(folder, folder)
    text = path.read_text()
    start, end = text.index("[signer]"), text.index("[[key]]")
    path.write_text(text[:start] + token.signer + text[end:])
    return path


def made_key(path: Path, token: SoftHsm, label: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "infra.broker", "keys", "make", label,
         "--config", str(path), "--development"],
        cwd=ROOT, env=os.environ | token.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search('spki = "(.*)"', done.stdout)
    assert found
    return found[1]


@contextmanager
def both(
    folder: Path, hsm: tuple[SoftHsm, str], broker: str = "", service: str = ""
) -> Iterator[Ends]:
    """A broker and a service that trusts its key; each may have a dishonesty of that name."""
    token, spki = hsm
    issuers = folder / "issuers.toml"
    issuers.write_text(ISSUERS.format(spki=spki))
    (folder / "broker").mkdir()
    path = configured(folder / "broker", token)
    with Processes(folder) as processes:
        way = ("tests.journeys.dishonest", broker) if broker else ("infra.broker",)
        options = ("serve", "--config", str(path), "--development")
        signing = processes.start("broker", "-m", *way, *options, **token.env)
        settings = {"AGE_ISSUERS_FILE": str(issuers), "AGE_PROFILES": PROFILES}
        installation = Installation(processes, settings)
        way = ("tests.journeys.dishonest", service) if service else ("app.cli",)
        taking = processes.start("service", "-m", *way, "serve", "--json", **installation.env())
        signing_port = int(signing.wait_ready()["url"].rpartition(":")[2])
        taking.wait_ready()
        with tapped(signing_port) as first, tapped(installation.port) as second:
            asked = Asked.of(Service(second.url).challenge())
            yield Ends(
                Side(signing, first, path.parent),
                Side(taking, second, installation.data),
                installation,
                asked,
            )


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory, hsm: tuple[SoftHsm, str]) -> Iterator[Ends]:
    """Two honest ends after a thousand passes, and both stopped."""
    with both(tmp_path_factory.mktemp("thousand"), hsm) as ends, pytest.MonkeyPatch.context() as m:
        ends.run(TOKENS, m)
        assert [side.running.stop() for side in (ends.broker, ends.service)] == [0, 0]
        ends.broker.look()
        ends.service.look()
        yield ends


# ---- two honest ends --------------------------------------------------------------------------


def test_nothing_of_one_side_is_in_the_other(thousand: Ends) -> None:
    """Had, said, sent or answered; raw or spelled; whole or eight bytes of it."""
    assert len(thousand.passes) == TOKENS
    assert shared(thousand) == []
    assert derived(thousand) == []


def test_what_both_have_is_the_same_for_everybody(thousand: Ends) -> None:
    """The search does find what is there. By name, with the reason for which it tells nothing."""
    for name, value in EVERYBODYS.items():
        assert among(plain_windows([value]), thousand.here).all(), name
        assert among(plain_windows([value]), thousand.there).all(), name
    key = plain_windows([thousand.asked.spki])
    assert among(key, thousand.here).all()
    assert among(key, thousand.there).all()
    # The rest of the challenge, which says for which service and day a pass is, the broker
    # is not told.
    challenge = plain_windows([thousand.asked.challenge])
    assert among(challenge, thousand.there).all()
    assert common(challenge, thousand.here, windows(EVERYBODYS.values())) == []


def test_neither_writes_down_what_it_is_shown(thousand: Ends) -> None:
    assert kept_by_broker(thousand) == []
    assert kept_by_service(thousand) == []


def test_the_taps_saw_everything(thousand: Ends) -> None:
    """So that 'nothing found' is not 'nothing looked at'."""
    signed = [raw for one in thousand.passes for raw in (one.message, one.signature)]
    assert among(plain_windows(signed), thousand.here).all()
    assert among(plain_windows(one.token for one in thousand.passes), thousand.there).all()
    assert among(plain_windows(thousand.person_tags()), thousand.here).all()
    assert among(plain_windows(thousand.spent_tags()), thousand.there).all()
    (spent,) = read(thousand.installation.database, "SELECT count(*) FROM spent_tokens")
    assert spent == (TOKENS + EACH,)


def test_a_plain_search_finds_no_value_either(thousand: Ends) -> None:
    """The same question without the machinery of windows, for a few."""
    here = b"".join(thousand.broker.everything)
    there = b"".join(thousand.service.everything)
    for one in random.Random(SEED).sample(thousand.passes, 5):
        for value in (one.message, one.signature, one.person.encode()):
            assert not any(spelling in there for spelling in spellings(value))
        for value in (one.token, one.nonce, one.authenticator, thousand.encoded(one)):
            assert not any(spelling in here for spelling in spellings(value))


def test_no_order_of_one_side_is_like_one_of_the_other(thousand: Ends) -> None:
    """But for the order in which they came and went, which is the shuffle of this very test."""
    assert ordered_alike(thousand) == {}
    columns = (numbers(at_broker(thousand)), numbers(at_service(thousand)))
    came, went = columns[0]["when it was asked"], columns[1]["when it was shown"]
    shuffled = random.Random(SEED).sample(range(TOKENS), TOKENS)
    assert alike(came, went) == pytest.approx(alike(shuffled, range(TOKENS)))


def test_every_pass_fits_every_visit(thousand: Ends) -> None:
    """RFC 9474's identity on real figures: true of any signature, blinded or not."""
    chance = random.Random(SEED)
    n = thousand.modulus
    for _ in range(SAMPLE):
        visit, token = chance.sample(thousand.passes, 2)
        factor = thousand.factor(visit, token)
        encoded = int.from_bytes(thousand.encoded(token), "big")
        assert pow(factor, EXPONENT, n) * encoded % n == int.from_bytes(visit.message, "big")


def test_the_factors_of_true_pairs_tell_nothing(thousand: Ends) -> None:
    """Any pair has a factor that explains it; those of the true pairs are like any others."""
    n = thousand.modulus
    assert telling_factors(thousand) == []
    # The factors of the true pairs lie as evenly in 1 to n - 1 as chance has it.
    mean = sum(thousand.factor(one, one) / n for one in thousand.passes) / TOKENS
    assert abs(mean - 0.5) < SIGMAS / (12 * TOKENS) ** 0.5


def test_nobody_elses_factor_opens_a_signature(thousand: Ends) -> None:
    chance = random.Random(SEED)
    for _ in range(SAMPLE):
        one, other = chance.sample(thousand.passes, 2)
        assert one.blinded.finalize(one.signature) == one.token
        with pytest.raises(NoPass) as refused:
            one.blinded.finalize(other.signature)
        assert refused.value.why is Why.SIGNATURE_WRONG


# ---- dishonest ones, who are found -----------------------------------------------------------


def test_a_device_that_does_not_blind_is_found(
    tmp_path: Path, hsm: tuple[SoftHsm, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy_pass, "_factor", lambda n, draw: (1, 1))
    with both(tmp_path, hsm) as ends:
        ends.run(SAMPLE, monkeypatch)
        assert shared(ends)
        assert derived(ends)
        assert ordered_alike(ends)[("signature", "authenticator")] == pytest.approx(1)
        assert len(telling_factors(ends)) > SAMPLE


def test_a_device_that_blinds_always_alike_is_found(
    tmp_path: Path, hsm: tuple[SoftHsm, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    once: list[tuple[int, int]] = []
    draw_factor = privacy_pass._factor

    def again(n: int, draw: Any) -> tuple[int, int]:
        once.extend([draw_factor(n, draw)] * (not once))
        return once[0]

    monkeypatch.setattr(privacy_pass, "_factor", again)
    with both(tmp_path, hsm) as ends:
        ends.run(FEW, monkeypatch)
        assert shared(ends) == []  # no value is shared, and yet
        assert len(telling_factors(ends)) == 1


@pytest.mark.parametrize("way", ["logs-messages", "logs-persons"])
def test_a_broker_that_writes_down_whom_it_serves_is_found(
    tmp_path: Path, hsm: tuple[SoftHsm, str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    with both(tmp_path, hsm, broker=way) as ends:
        ends.run(FEW, monkeypatch)
        assert shared(ends) == []
        assert kept_by_broker(ends)


def test_a_broker_with_a_key_for_each_person_gives_no_passes(
    tmp_path: Path, hsm: tuple[SoftHsm, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with both(tmp_path, hsm, broker="marks-persons") as ends, pytest.raises(NoPass) as refused:
        ends.run(1, monkeypatch)
    # The other key's modulus may be the larger one.
    assert refused.value.why in (Why.SIGNATURE_WRONG, Why.SIGNATURE_RANGE)


def test_a_service_that_keeps_nonces_is_found(
    tmp_path: Path, hsm: tuple[SoftHsm, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with both(tmp_path, hsm, service="keeps-nonces") as ends:
        ends.run(FEW, monkeypatch)
        assert kept_by_service(ends)
        # And it helps nobody: the broker has never seen a nonce.
        assert shared(ends) == []


# ---- the search itself -------------------------------------------------------------------------


@pytest.mark.parametrize("lead", range(4))
def test_the_search_finds_a_value_in_any_spelling(lead: int) -> None:
    value = secrets.token_bytes(32)
    nothing = windows([])
    around = b" " * lead, b" end"
    texts = [
        value,
        value.hex().encode(),
        value.hex().upper().encode(),
        b"0" * lead + value.hex().encode(),
        base64.b64encode(value),
        base64.urlsafe_b64encode(value).rstrip(b"="),
        base64.urlsafe_b64encode(b"x" * lead + value + b"tail"),
        str(int.from_bytes(value, "big")).encode(),
        value[7:15],
        base64.b64encode(value[3 : 12 + lead]),
    ]
    for text in texts:
        found = common(windows([around[0] + text + around[1]]), windows([value]), nothing)
        assert found, text
        assert all(one in value for one in found)
    assert common(windows([secrets.token_bytes(4000)]), windows([value]), nothing) == []
    assert common(windows([value]), windows([value]), windows([value])) == []


def test_likeness_is_spearmans() -> None:
    assert alike([1, 2, 3, 4], [10, 20, 30, 2**3000]) == pytest.approx(1)
    assert alike([1, 2, 3, 4], [9, 7, 5, 3]) == pytest.approx(-1)
    # Ties share a rank; the figure is scipy's.
    assert alike([1, 2, 2, 4], [1, 3, 2, 4]) == pytest.approx(0.9486832980505138)


def test_the_threat_model_shows_what_the_simulation_gives() -> None:
    shown = (ROOT / "docs/THREAT-MODEL.md").read_text()
    assert "\n".join(table()) in shown
