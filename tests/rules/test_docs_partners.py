"""docs/PARTNERS.md: its code runs on real messages, its tables are what the service sends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from joserfc import jwk
from standardwebhooks import WebhookVerificationError

import partners.enrolment
from app.adapters.system import RandomIds
from app.domain.age import AgeBasis
from app.domain.outcome import WORDS, outcome_of
from app.web.application import create_app
from app.web.problems import KINDS
from hashing.values import HashType
from hashing.video import Vpdq
from partners.composing import Composer
from partners.events import EventType
from partners.feedback import FEEDBACK_FOLLOWS
from partners.model import Feedback, Message, NoticeId, Partner, PartnerId, Word
from partners.ports import Post, Reply
from partners.schedule import DELAYS
from tests.app.services.world import NOW, URL, World, a_digest, a_pdq, a_photo, a_request
from tests.app.web.running import in_process
from tests.rules.pages import blocks, headings, section, table, text_of, words

# The page says so too: few libraries know the new name.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning")

PAGE = text_of("PARTNERS")
CODE: dict[str, Any] = {}
for block in blocks(PAGE, "python"):
    exec(compile(block, "docs/PARTNERS.md", "exec"), CODE)  # noqa: S102 - the page's own code


@dataclass
class Told:
    """A platform with a key of its own, and everything that it is told of one report."""

    world: World
    partner: Partner
    handed_over: Mapping[str, Any]
    own_keys: dict[str, Any]

    def messages(self) -> dict[str, Message]:
        """The newest message of each type, expanded and not delivered."""
        self.world.expand()
        return {m.event_type: m for m in self.world.messages(partner=self.partner)}

    def post(self, message: Message, *, sealed: bool = True, age: int = 0) -> Post:
        """The request as it was sent `age` seconds before `standardwebhooks` looks at its watch."""
        services = self.world.services
        composer = Composer(
            services.build_payload, self.world.house.keys, services.manage_partners.signer, URL
        )
        sent_at = datetime.now(UTC) - timedelta(seconds=age)
        partner = self.world.again(self.partner.id)
        if not sealed:
            partner = replace(partner, jwks=None)
        made = composer.compose(message, partner, partner.endpoints[0], URL, sent_at)
        assert made is not None
        return made


def told(world: World, scheme: str, policy: str = "uk-osa-48h") -> Told:
    """A platform that was taken on with a key for sealed messages."""
    own = jwk.KeySet([jwk.OKPKey.generate_key("X25519", auto_kid=True)])
    public = json.dumps(own.as_dict(private=False))
    made = world.services.manage_partners.add(
        "Alpha", "http://127.0.0.1:9/hook", scheme, policy, public, takes_location=True
    )
    partner = world.trusting(PartnerId(str(made["partner_id"])))
    return Told(world, partner, made, dict(own.as_dict(private=True)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, {"TAKE_LOCATIONS": "yes"})
    yield world
    world.close()


# ---- the code ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "verify", "refusals"),
    [
        ("v1a", "verify_v1a", (InvalidSignature, ValueError)),
        ("v1", "verify_v1", (WebhookVerificationError,)),
    ],
)
def test_its_code_verifies_what_we_send_and_nothing_else(
    world: World, scheme: str, verify: str, refusals: tuple[type[Exception], ...]
) -> None:
    platform = told(world, scheme)
    world.report(a_photo())
    message = platform.messages()["removal.requested"]
    post, old = platform.post(message, age=290), platform.post(message, age=302)
    key, headers = platform.handed_over["webhook_key"], dict(post.headers)
    CODE[verify](key, headers, post.body)
    other = {**headers, "webhook-id": "msg_other"}
    stale = dict(old.headers)
    for bad, body in ((headers, post.body + b" "), (stale, old.body), (other, post.body)):
        with pytest.raises(refusals):
            CODE[verify](key, bad, body)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        without = {n: value for n, value in headers.items() if n != name}
        for bad in (without, {**headers, name: ""}):
            with pytest.raises(refusals):
                CODE[verify](key, bad, post.body)
    with pytest.raises(refusals):
        CODE[verify](key, {}, post.body)


@pytest.mark.parametrize("scheme", ["v1a", "v1"])
def test_its_code_verifies_during_a_change_of_keys(world: World, scheme: str) -> None:
    platform = told(world, scheme)
    world.clock.at = datetime.now(UTC)
    made = world.services.manage_partners.rotate_signing_keys(platform.partner.id, timedelta(1))
    world.report(a_photo())
    post = platform.post(platform.messages()["removal.requested"])
    for key in (platform.handed_over["webhook_key"], made[0]["secret"]):
        CODE[f"verify_{scheme}"](key, dict(post.headers), post.body)


def test_its_code_opens_what_is_sealed_for_this_reader_and_message(world: World) -> None:
    platform = told(world, "v1a")
    photo = a_photo()
    world.report(photo)
    post = platform.post(platform.messages()["removal.requested"])
    data = json.loads(post.body)["data"]
    about = (platform.own_keys, platform.handed_over["sealing_key"])
    me, this = str(platform.partner.id), post.headers["webhook-id"]
    item = CODE["open_sealed"](data["sealed"], *about, me, this)
    assert [h["value"] for h in item["hashes"]] == [str(e.value) for e in photo.entries]
    for reader, message in (("ptn_other", this), (me, "msg_other")):
        with pytest.raises(ValueError, match="somebody else"):
            CODE["open_sealed"](data["sealed"], *about, reader, message)


def test_its_code_matches_up_to_the_recommended_distance() -> None:
    own = "f" * 32 + "0" * 32
    for bits, found in ((31, True), (32, False)):
        near = f"{int(own, 16) ^ ((1 << bits) - 1):064x}"
        for kind in ("pdq", "pdq-512"):
            assert CODE["matches"]([{"type": kind, "value": near}], own, 31) is found
    assert not CODE["matches"]([{"type": "sha256", "value": own}], own, 31)


def test_its_code_matches_a_video_by_four_frames_of_five() -> None:
    near, far = "0" * 64, "f" * 64
    for found, same in ((4, True), (3, False)):
        values = [near] * found + [far] * (5 - found)
        vpdq = "".join(f"{30 * n},90,{value},{n}.000\n" for n, value in enumerate(values))
        assert str(Vpdq.parse(vpdq)) == vpdq
        own = [f"{(1 << 31) - 1:064x}", "0f" * 32]
        assert CODE["video_matches"](vpdq, own, 31) is same
        assert not CODE["video_matches"](vpdq, own, 30)


# ---- the fields ----------------------------------------------------------------------------------


def fields(title: str) -> dict[str, str]:
    """Field by field, the column 'always'."""
    return {words(row[0])[0]: row[1] for row in table(section(PAGE, title))}


def described(samples: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What the column 'always' must say of what was seen."""
    seen = {name for sample in samples for name in sample}
    return {name: _always(name, samples) for name in seen}


def _always(name: str, samples: Sequence[Mapping[str, Any]]) -> str:
    if not all(name in sample for sample in samples):
        return "no"
    null = any(sample[name] is None for sample in samples)
    return "yes, may be null" if null else "yes"


def everything(world: World) -> list[Told]:
    """Platforms with and without hours, of photos with and without places and digests."""
    platforms = [told(world, "v1a"), told(world, "v1a", "none")]
    places = {platforms[0].partner.id: "https://somewhere.example/page"}
    key = world.report(a_photo(locations=places), a_photo(entries=(a_digest(),)))
    world.expand()
    world.deliver()
    world.services.add_to_case(key, [a_photo(entries=(a_pdq("flipy"),), extends=1)], a_request())
    world.clock.forward(timedelta(hours=49))
    world.services.mark_late()
    world.expand()
    return platforms


def sent(world: World, kind: str) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The `data` of every message of that type, sealed and thin; and what was inside."""
    outer: list[Mapping[str, Any]] = []
    inner: list[Mapping[str, Any]] = []
    for platform in everything(world):
        found = [m for m in world.messages(partner=platform.partner) if m.event_type == kind]
        for message in found:
            post = platform.post(message)
            outer += [json.loads(post.body)["data"]]
            outer += [json.loads(platform.post(message, sealed=False).body)["data"]]
            inner += [_opened(platform, outer[-2], message)]
    assert outer
    return outer, inner


def _opened(platform: Told, data: Mapping[str, Any], message: Message) -> Mapping[str, Any]:
    key = platform.handed_over["sealing_key"]
    item: Mapping[str, Any] = CODE["open_sealed"](
        data["sealed"], platform.own_keys, key, str(platform.partner.id), message.id
    )
    return item


@pytest.mark.parametrize("kind", ["removal.requested", "removal.updated"])
def test_the_fields_of_a_message_and_of_its_item(world: World, kind: str) -> None:
    outer, inner = sent(world, kind)
    assert fields(kind) == described(outer)
    claims = {"iss", "aud", "jti", "iat"}
    assert all(claims <= item.keys() for item in inner)
    item = [{k: v for k, v in i.items() if k not in claims} for i in inner]
    if kind == "removal.requested":
        assert fields("The item") == described(item)


def test_the_fields_of_a_reminder(world: World) -> None:
    outer, _ = sent(world, "removal.reminder")
    # Only who has a deadline is reminded of it, so that none was null among these.
    assert {name: a.split(",")[0] for name, a in fields("removal.reminder").items()} == described(
        outer
    )


def test_the_fields_of_a_withdrawal(world: World) -> None:
    platform = told(world, "v1a")
    key = world.report(a_photo())
    world.expand()
    world.services.withdraw_case(key)
    message = platform.messages()["removal.withdrawn"]
    data = [json.loads(platform.post(message).body)["data"]]
    assert fields("removal.withdrawn") == described(data)


def test_the_fields_of_a_verification(world: World) -> None:
    asked: list[bytes] = []

    class Caller:
        def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
            asked.append(body)
            return Reply(200, {}, json.dumps(json.loads(body)["data"]).encode())

    endpoint = told(world, "v1a").partner.endpoints[0]
    keys, ids = world.house.keys, RandomIds()
    partners.enrolment.challenge(endpoint, URL, Caller(), ids=ids, keys=keys, now=NOW)
    body = json.loads(asked[0])
    assert body["type"] == "endpoint.verification"
    assert fields("endpoint.verification") == described([body["data"]])


def test_the_fields_of_a_hash_and_the_item_as_it_is_fetched(world: World) -> None:
    fetched = [
        world.services.build_payload.fetch(platform.partner, NoticeId(str(m.notice_id)))
        for platform in everything(world)
        for m in world.messages(partner=platform.partner)
    ]
    assert fields("The item") == described(fetched)
    hashes = [entry for item in fetched for entry in _list(item["hashes"])]
    told_of = table(section(PAGE, "The item").split("Each of `hashes`")[1])
    assert {words(row[0])[0]: row[1] for row in told_of} == described(hashes)


def _list(value: object) -> list[Mapping[str, Any]]:
    assert isinstance(value, list)
    return value


def test_what_is_handed_over(world: World) -> None:
    rows = table(section(PAGE, "1. Join"))
    assert [words(row[0])[0] for row in rows] == list(told(world, "v1a").handed_over)


# ---- the rest ------------------------------------------------------------------------------------


def test_every_event_type_is_described() -> None:
    titles = headings(section(PAGE, "3. Read"), 3)
    assert {title for title in titles if "." in title} == set(EventType)


def test_the_choices_that_are_named_are_the_choices() -> None:
    rows = {words(row[0])[0]: words(row[2]) for row in table(section(PAGE, "The item"))}
    assert rows["age_basis"] == [str(basis) for basis in AgeBasis]
    hash_rows = table(section(PAGE, "The item").split("Each of `hashes`")[1])
    assert words(hash_rows[0][2]) == [str(t) for t in HashType]


def test_the_words_and_what_the_young_person_reads(world: World) -> None:
    platform = told(world, "v1a")
    key = world.report(a_photo())
    world.expand()
    notice = world.notice(key, platform.partner)
    rows = table(section(PAGE, "5. Say what you did"))
    assert [words(row[0])[0] for row in rows] == [str(w) for w in Word if w is not Word.SENT]
    for row in rows:
        said = Feedback(Word(words(row[0])[0]), NOW)
        assert row[2] == WORDS[outcome_of(replace(notice, feedback=said))]


def test_which_word_may_follow_which() -> None:
    rows = table(section(PAGE, "5. Say what you did").split("Which new word")[1])
    told_of = {words(before)[0]: set(words(after)) for before, after in rows}
    assert told_of == {str(w): {str(n) for n in after} for w, after in FEEDBACK_FOLLOWS.items()}


def test_the_schedule() -> None:
    rows = table(section(PAGE, "8. If you do not answer"))
    assert [(int(number), wait) for number, wait in rows] == [
        (number, _written(delay)) for number, delay in enumerate(DELAYS, start=1)
    ]


def _written(delay: timedelta) -> str:
    seconds = int(delay.total_seconds())
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return "at once"


def test_the_refusals_are_those_of_the_partner_routes(tmp_path: Path) -> None:
    with in_process(tmp_path) as (runtime, _):
        spec = create_app(runtime.context).test_client().get("/openapi.json").get_json()
    met = {
        code
        for path, operations in spec["paths"].items()
        if path.startswith("/v1/partner/")
        for method, operation in operations.items()
        if method != "parameters"
        for status, answer in operation["responses"].items()
        if not status.startswith("2")
        for code in _codes(answer)
    }
    rows = table(section(PAGE, "11. Refusals"))
    assert {words(code)[0]: int(status) for code, status in rows} == {
        code: KINDS[code].status for code in met
    }


def _codes(answer: Mapping[str, Any]) -> list[str]:
    schema = answer["content"]["application/problem+json"]["schema"]
    codes: list[str] = schema["allOf"][1]["properties"]["code"]["enum"]
    return codes
