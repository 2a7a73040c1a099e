"""What is wrong is refused with its code, leaves no trace, and is repeated nowhere."""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from app.bootstrap import DATABASE, Runtime
from app.client.age import Device
from app.web.application import create_app
from infra.sandbox.issuer import Issuer, b64
from tests.adapters.age.minting import ABSENT, changed, ed25519
from tests.app.web.running import in_process

AUDIENCE = "https://age.service.example"
REPORTS, OPEN, ITEMS, WITHDRAW = (
    "/v1/reports",
    "/v1/case/open",
    "/v1/case/items",
    "/v1/case/withdraw",
)
WITHDRAW_ITEM = "/v1/case/items/withdraw"
BODIES = (REPORTS, OPEN, ITEMS, WITHDRAW, WITHDRAW_ITEM)
PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
SHA = sha256(b"a file").hexdigest()
MD5 = "0123456789abcdef0123456789abcdef"
WORD = re.compile(r"[A-Za-z0-9_+=-]{12,}")
DIGEST = {"sha256": SHA}
FRAME = f"0,90,{PDQ},0.000"


# ---- a service to be refused by ------------------------------------------------------------------


@dataclass
class Refuser:
    """The application in this process, its database, and two platforms that it tells."""

    runtime: Runtime
    log: io.StringIO
    client: FlaskClient
    data: Path
    issuer: Issuer
    mine: dict[str, Any]
    other: dict[str, Any]
    documented: dict[str, set[str]]
    our_words: set[str]
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def fresh_key(self) -> str:
        return f"idempotency-key-{next(self.numbers):06}"

    def post(self, path: str, body: Any, **headers: str) -> TestResponse:
        headers = {"Idempotency-Key": self.fresh_key(), **headers}
        content_type = headers.pop("Content-Type", "application/json")
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, data=raw, headers=headers, content_type=content_type)

    def as_partner(self, made: Mapping[str, Any]) -> dict[str, str]:
        return {"Authorization": f"Bearer {made['api_key']}"}

    def kept(self) -> str:
        """A digest of every row of every table."""
        with closing(
            sqlite3.connect(f"file:{self.data / DATABASE}?mode=ro", uri=True)
        ) as connection:
            return sha256("".join(connection.iterdump()).encode()).hexdigest()

    def case(self) -> str:
        """The key of a new case, told to the platforms."""
        case_key = sha256(self.fresh_key().encode()).hexdigest()
        assert self.post(REPORTS, report(case_key=case_key)).status_code == 201
        self.runtime.services.expand_events()
        return case_key

    def item_of(self, made: Mapping[str, Any]) -> str:
        """The newest item of that platform, by its own name for it."""
        self.case()
        listing = self.client.get("/v1/partner/messages", headers=self.as_partner(made)).get_json()
        return str(listing["messages"][-1]["item_id"])


@pytest.fixture(scope="module")
def refuser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refuser]:
    folder = tmp_path_factory.mktemp("refuser")
    issuer = Issuer("https://issuer.example", Ed25519PrivateKey.generate())
    trusted = folder / "issuers.toml"
    trusted.write_text(issuer.issuers_file(AUDIENCE))
    chosen = {"AGE_ISSUERS_FILE": str(trusted), "TAKE_LOCATIONS": "yes"}
    with in_process(folder, **chosen) as (runtime, log):
        add = runtime.services.manage_partners.add
        mine = add("Alpha", None, "v1a", "none", None, takes_location=True)
        other = add("Beta", None, "v1a", "none", None, takes_location=False)
        client = create_app(runtime.context).test_client()
        words = set(WORD.findall(client.get("/openapi.json").get_data(as_text=True)))
        documented = _documented(client)
        yield Refuser(runtime, log, client, folder / "var", issuer, mine, other, documented, words)


def _documented(client: FlaskClient) -> dict[str, set[str]]:
    """Which codes the document says a route may answer with."""
    found: dict[str, set[str]] = {}
    for path, item in client.get("/openapi.json").get_json()["paths"].items():
        for method in ("get", "post"):
            for answer in item.get(method, {}).get("responses", {}).values():
                for content in answer.get("content", {}).values():
                    narrowed = content["schema"].get("allOf", [{}])[-1].get("properties", {})
                    codes = narrowed.get("code", {}).get("enum", [])
                    found.setdefault(path, set()).update(codes)
    return found


def report(**changes: Any) -> dict[str, Any]:
    body = {
        "case_key": sha256(b"a case").hexdigest(),
        "age": {"profile": "declared-v1", "band": "13_15"},
        "items": [item()],
    }
    return changed(body, changes)


def item(**changes: Any) -> dict[str, Any]:
    hashes = {"pdq": {"original": {"value": PDQ, "quality": 100}}, **DIGEST}
    return changed({"kind": "photo", "hashes": hashes}, changes)


def with_hash(variant: Any = "original", **entry: Any) -> dict[str, Any]:
    """A report of one PDQ hash, with that in it changed."""
    copy = changed({"value": PDQ, "quality": 90}, entry)
    return with_hashes(pdq={variant: copy})


def with_hashes(kind: str = "photo", **hashes: Any) -> dict[str, Any]:
    return report(items=[item(kind=kind, hashes=hashes)])


def with_frames(*lines: Any) -> dict[str, Any]:
    return with_hashes("video", vpdq=list(lines))


# ---- how a refusal must look ---------------------------------------------------------------------


def assert_refused(
    refuser: Refuser, answer: TestResponse, status: int, code: str, before: tuple[str, str]
) -> dict[str, Any]:
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    problem: dict[str, Any] = json.loads(answer.get_data())
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["type"].endswith(f"/docs#problem-{code}")
    assert code in _codes_of(refuser, answer.request.path)
    kept, logged = before
    assert refuser.kept() == kept, "something was stored"
    assert refuser.log.getvalue() == logged, "a refusal is no event"
    for token in _tokens(answer) - refuser.our_words:
        assert token not in answer.get_data(as_text=True), "the answer repeats the request"
    return problem


def _codes_of(refuser: Refuser, path: str) -> set[str]:
    rule = re.sub(r"(?<=/partner/items/)[^/]+", "{item_id}", path)
    return refuser.documented[rule]


def _tokens(answer: TestResponse) -> set[str]:
    """Every longer word that was sent."""
    answer.request.input_stream.seek(0)
    body = answer.request.input_stream.read()
    sent = body[:200_000].decode("latin-1") + " ".join(answer.request.headers.values())
    return set(WORD.findall(sent))


@pytest.fixture
def refused(refuser: Refuser, capfd: pytest.CaptureFixture[str]) -> Any:
    """Send, and look at everything that a refusal must and must not do."""

    def check(path: str, body: Any, status: int, code: str, **headers: str) -> dict[str, Any]:
        before = refuser.kept(), refuser.log.getvalue()
        problem = assert_refused(refuser, refuser.post(path, body, **headers), status, code, before)
        assert capfd.readouterr() == ("", ""), "something was printed"
        return problem

    return check


def test_what_is_logged_is_seen_here(refuser: Refuser, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an empty log means something in all that follows."""
    logged = refuser.log.getvalue()
    monkeypatch.setattr(type(refuser.runtime.store), "partners", lambda _: 1 / 0)
    assert refuser.client.get("/v1/platforms").status_code == 500
    assert "ZeroDivisionError" in refuser.log.getvalue().removeprefix(logged)


def test_the_report_that_the_others_differ_from_is_taken(refuser: Refuser) -> None:
    before = refuser.kept()
    assert refuser.post(REPORTS, report(case_key="5a" * 32)).status_code == 201
    assert refuser.kept() != before


# ---- not JSON, or not as documented --------------------------------------------------------------

NOT_JSON = {
    "nothing": b"",
    "half": b'{"case_key": "',
    "words": b"take it down please",
    "other bytes": b"\xff\xfe\xfd",
    "utf-16": json.dumps(report()).encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(report()).encode(),
    "two objects": b"{}{}",
    "NaN": json.dumps(with_hash(quality=float("nan"))).encode(),
    "Infinity": json.dumps(with_hash(quality=float("inf"))).encode(),
    "-Infinity": json.dumps(with_hash(quality=float("-inf"))).encode(),
    "5,000 digits": b'{"case_key": ' + b"9" * 5_000 + b"}",
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 levels of objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a key twice": b'{"case_key": "x", "case_key": "y"}',
    "a key twice, deep inside": json.dumps(report()).replace('"band"', '"profile"').encode(),
    "comments": b"{} // see above",
    "a comma too many": b'{"case_key": "x",}',
    "gzip": b"\x1f\x8b\x08\x00" + b"\0" * 30,
}


@pytest.mark.parametrize("path", [REPORTS, OPEN])
@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_strict_json_is_refused(refused: Any, path: str, name: str) -> None:
    refused(path, NOT_JSON[name], 400, "not-json")


MISSHAPEN = {
    "a list": [],
    "a list of reports": [report()],
    "100 levels": b"[" * 100 + b"]" * 100,
    "100 levels in a field": report(items=json.loads("[" * 100 + "]" * 100)),
    "700 levels of objects": b'{"a":' * 700 + b"1" + b"}" * 700,
    "null": None,
    "a number": 12,
    "text": "please",
    "empty": {},
    "unknown field": report(colour="violet-and-green"),
    "unknown field named like a secret": report(**{"ab" * 16: 1}),
    "unknown field in an item": report(items=[item(file_name="holiday-in-rome.jpg")]),
    "unknown field in a hash": with_hash(thumbnail="tiny-tiny-picture"),
    "unknown field in the age": report(
        age={"profile": "declared-v1", "band": "13_15", "name": "x"}
    ),
    "no case key": report(case_key=ABSENT),
    "no age": report(age=ABSENT),
    "no items": report(items=ABSENT),
    "zero items": report(items=[]),
    "items as an object": report(items={}),
    "items as text": report(items="itm"),
    "null items": report(items=None),
    "an item that is none": report(items=[1]),
    "case key as a number": report(case_key=12),
    "case key as null": report(case_key=None),
    "short case key": report(case_key="ab" * 31),
    "long case key": report(case_key="ab" * 33),
    "uppercase case key": report(case_key="AB" * 32),
    "case key with a line end": report(case_key="ab" * 32 + "\n"),
    "case key in Arabic digits": report(case_key="\u0661" * 64),
    "age as a list": report(age=[]),
    "unknown band": report(age={"profile": "declared-v1", "band": "12_14"}),
    "band as a number": report(age={"profile": "declared-v1", "band": 13}),
    "profile with spaces": report(age={"profile": "declared v1", "band": "13_15"}),
    "unknown kind": report(items=[item(kind="hologram")]),
    "kind as a number": report(items=[item(kind=1)]),
    "no hashes": report(items=[item(hashes=ABSENT)]),
    "zero hashes": with_hashes(),
    "zero copies": with_hashes(pdq={}),
    "hashes as text": report(items=[item(hashes=PDQ)]),
    "hashes as a list": report(items=[item(hashes=[DIGEST])]),
    "null hashes": report(items=[item(hashes=None)]),
    "copies as a list": with_hashes(pdq=[{"quality": 90, "value": PDQ}]),
    "a hash that is text": with_hashes(pdq={"original": PDQ}),
    "a digest that is an object": with_hashes(sha256={"original": SHA}),
    "a digest that is null": with_hashes(md5=None),
    "513 hashes": with_hashes(pdq={f"v{n}": {"quality": 90, "value": PDQ} for n in range(513)}),
    "513 items": report(items=[item()] * 513),
    "platforms as text": report(items=[item(platforms="ptn_x")]),
    "platform as a number": report(items=[item(platforms=[7])]),
    "platform named otherwise": report(items=[item(platforms=["../../../etc/passwd"])]),
    "33 locations": report(items=[item(locations=[{"platform": "ptn_x", "where_seen": "x"}] * 33)]),
    "location without a place": report(items=[item(locations=[{"platform": "ptn_x"}])]),
    "extends in a report": report(items=[item(extends=1)]),
    "uppercase hash": with_hash(value=PDQ.upper()),
    "short hash": with_hash(value=PDQ[:-1]),
    "long hash": with_hash(value=PDQ + "0"),
    "hash that is not hexadecimal": with_hash(value="g" + PDQ[1:]),
    "hash with blanks": with_hash(value=PDQ[:31] + "  " + PDQ[33:]),
    "hash with a line end": with_hash(value=PDQ[:63] + "\n"),
    "hash in fullwidth digits": with_hash(value="\uff11" * 64),
    "hash as a number": with_hash(value=int(PDQ, 16)),
    "hash as null": with_hash(value=None),
    "no hash value": with_hash(value=ABSENT),
    "md5 of the wrong length": with_hashes(md5=SHA),
    "sha256 of the wrong length": with_hashes(sha256=MD5),
    "unknown hash type": with_hashes(phash=SHA),
    "no frames": with_frames(),
    "frames as text": with_hashes("video", vpdq=f"{FRAME}\n"),
    "a frame that is a number": with_frames(1),
    "a frame with its line end": with_frames(FRAME + "\n"),
    "a frame without a time": with_frames(FRAME.rpartition(",")[0]),
    "a frame twice": with_frames(FRAME, FRAME),
    "frames in the wrong order": with_frames(f"30,90,{PDQ},1.000", FRAME),
    "a frame's quality 101": with_frames(f"0,101,{PDQ},0.000"),
    "a frame in capitals": with_frames(FRAME.upper()),
    "513 frames": with_frames(*(f"{n},90,{PDQ},{n}.000" for n in range(513))),
    "no quality": with_hash(quality=ABSENT),
    "null quality": with_hash(quality=None),
    "quality 101": with_hash(quality=101),
    "quality -1": with_hash(quality=-1),
    "quality 89.5": with_hash(quality=89.5),
    "quality as text": with_hash(quality="90"),
    "quality true": with_hash(quality=True),
    "quality beyond all numbers": json.dumps(with_hash(quality=17)).replace("17", "1e999").encode(),
    "quality of 400 digits": with_hash(quality=10**400),
    "quality of a digest": with_hashes(sha256={"quality": 90, "value": SHA}),
    "variant in capitals": with_hash(variant="FlipY"),
    "variant too long": with_hash(variant="a" * 41),
    "variant empty": with_hash(variant=""),
    "variant that is null": with_hashes(pdq={"original": None}),
    "variant with a line end": with_hash(variant="flipy\n"),
    "variant in another script": with_hash(variant="\u0161ikmo"),
}


@pytest.mark.parametrize("name", MISSHAPEN)
def test_what_does_not_have_the_documented_shape_is_refused(refused: Any, name: str) -> None:
    problem = refused(REPORTS, MISSHAPEN[name], 422, "body-invalid")
    assert 1 <= len(problem["errors"]) <= 20
    for error in problem["errors"]:
        assert re.fullmatch(r"(/(?:[a-z_]+|\d+|pdq-512|sha256|md5))*", error["pointer"]), error


@pytest.mark.parametrize("path", [OPEN, WITHDRAW])
@pytest.mark.parametrize("key", ["", "ab" * 31, "AB" * 32, "zz" * 32, 7, None, ["ab" * 32], {}])
def test_a_case_key_has_one_form(refused: Any, path: str, key: Any) -> None:
    refused(path, {"case_key": key}, 422, "body-invalid")


@pytest.mark.parametrize("number", [0, 51, -1, 1.5, "1", True, None, [1], 10**30])
def test_an_item_to_extend_is_a_number_of_the_case(refused: Any, number: Any) -> None:
    body = {"case_key": "ab" * 32, "items": [item(extends=number)]}
    refused(ITEMS, body, 422, "body-invalid")


@pytest.mark.parametrize("number", [ABSENT, 0, 51, -1, 1.5, "1", True, None, [1]])
def test_an_item_to_take_back_is_a_number_of_the_case(refused: Any, number: Any) -> None:
    refused(WITHDRAW_ITEM, changed({"case_key": "ab" * 32}, {"item": number}), 422, "body-invalid")


def test_an_item_that_is_not_there_is_not_taken_back(refuser: Refuser, refused: Any) -> None:
    body = {"case_key": refuser.case(), "item": 2}
    problem = refused(WITHDRAW_ITEM, body, 422, "report-invalid")
    assert problem["errors"][0]["pointer"] == "/item"
    refused(WITHDRAW_ITEM, {"case_key": "ef" * 32, "item": 1}, 404, "case-not-found")


# ---- pictures, videos, forms ---------------------------------------------------------------------


def _picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(stream, kind)
    return stream.getvalue()


MARK = b"a-mark-nobody-else-writes"
MEDIA = {
    "jpeg": _picture("JPEG"),
    "png": _picture("PNG"),
    "gif": _picture("GIF"),
    "webp": _picture("WEBP"),
    "bmp": _picture("BMP"),
    "tiff": _picture("TIFF"),
    "mp4": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + MARK,
    "mov": b"\0\0\0\x14ftypqt  \0\0\x02\0qt  " + MARK,
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + MARK,
    "avif": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + MARK,
    "zip": b"PK\x03\x04\x14\0\0\0\x08\0" + MARK,
    "matroska": b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1f" + MARK,
    "pdf": b"%PDF-1.7\n" + MARK,
}
TYPES = (
    "application/json",
    "image/jpeg",
    "video/mp4",
    "application/octet-stream",
    "multipart/form-data; boundary=xyz",
    "application/x-www-form-urlencoded",
    "text/plain",
    "",
)


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("name", MEDIA)
def test_a_picture_or_video_is_refused_under_any_name(
    refused: Any, name: str, content_type: str
) -> None:
    refused(REPORTS, MEDIA[name], 415, "media-refused", **{"Content-Type": content_type})


@pytest.mark.parametrize("path", [*BODIES, "/v1/partner/messages/acknowledge"])
def test_a_picture_is_refused_wherever_a_body_is_taken(
    refuser: Refuser, refused: Any, path: str
) -> None:
    key = refuser.as_partner(refuser.mine)
    refused(path, MEDIA["jpeg"], 415, "media-refused", **{"Content-Type": "image/jpeg", **key})


@pytest.mark.parametrize("name", MEDIA)
@pytest.mark.parametrize("place", ["where_seen", "case_key", "an unknown field", "a data URL"])
def test_a_picture_in_base64_is_refused_wherever_it_hides(
    refused: Any, name: str, place: str
) -> None:
    hidden = base64.b64encode(MEDIA[name]).decode()
    bodies = {
        "where_seen": report(items=[item(locations=[{"platform": "ptn_x", "where_seen": hidden}])]),
        "case_key": report(case_key=hidden),
        "an unknown field": report(picture=hidden),
        "a data URL": report(picture=f"data:image/jpeg;base64,{hidden}"),
    }
    refused(REPORTS, bodies[place], 415, "media-refused")


def test_base64_that_is_written_in_another_way_is_refused_for_its_shape(refused: Any) -> None:
    hidden = base64.b64encode(MEDIA["jpeg"]).decode().replace("/", "\\/")
    body = json.dumps(report(case_key="here")).replace("here", hidden).encode()
    refused(REPORTS, body, 422, "body-invalid")


FORM = (
    b"--xyz\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\nsomething\r\n--xyz--\r\n"
)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=xyz", FORM),
        ("application/x-www-form-urlencoded", b"case_key=abababababababab"),
        ("text/plain", json.dumps(report()).encode()),
        ("text/json", json.dumps(report()).encode()),
        ("application/xml", b"<report/>"),
        ("application/problem+json", json.dumps(report()).encode()),
        ("", json.dumps(report()).encode()),
        ("rubbish", json.dumps(report()).encode()),
    ],
)
def test_only_json_is_taken(refused: Any, path: str, content_type: str, body: bytes) -> None:
    refused(path, body, 415, "content-type-unsupported", **{"Content-Type": content_type})


def test_two_megabytes_are_refused(refused: Any) -> None:
    refused(REPORTS, report(picture="x" * 2_000_000), 413, "body-too-large")


# ---- hashes that find nothing, and too many of them ----------------------------------------------

UNUSABLE = {
    "all zero": with_hash(value="0" * 64),
    "all one": with_hash(value="f" * 64),
    "flat": with_hash(value="00ff" * 16),
    "nearly empty": with_hash(value="0" * 63 + "1"),
    "quality 49": with_hash(quality=49),
    "quality 0": with_hash(quality=0),
    "zero md5": with_hashes(md5="0" * 32),
    "zero sha256": with_hashes(sha256="0" * 64),
    "md5 of nothing": with_hashes(md5="d41d8cd98f00b204e9800998ecf8427e"),
    "flat frames only": with_frames(f"30,90,{'00ff' * 16},1.000"),
    "poor frames only": with_frames(f"30,49,{PDQ},1.000"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_hash_that_finds_nothing_is_refused(refused: Any, name: str) -> None:
    problem = refused(REPORTS, UNUSABLE[name], 422, "hash-unusable")
    (kind,) = UNUSABLE[name]["items"][0]["hashes"]
    assert problem["errors"][0]["pointer"] == f"/items/0/hashes/{kind}"


def test_frames_that_find_nothing_are_left_out_where_others_remain(refuser: Refuser) -> None:
    body = with_frames(FRAME, f"30,90,{'00ff' * 16},1.000", f"60,49,{PDQ},2.000")
    assert refuser.post(REPORTS, {**body, "case_key": "8e" * 32}).status_code == 201


def test_only_a_video_has_frames(refuser: Refuser, refused: Any) -> None:
    problem = refused(REPORTS, with_hashes(vpdq=[FRAME]), 422, "report-invalid")
    assert problem["errors"][0]["pointer"] == "/items/0/hashes/vpdq"
    assert refuser.post(REPORTS, {**with_frames(FRAME), "case_key": "8d" * 32}).status_code == 201


def _many(count: int) -> dict[str, Any]:
    """That many hashes, a digest among them."""
    copies = {f"v{n}": {"quality": 90, "value": PDQ} for n in range(count - 1)}
    return {"pdq": copies, **DIGEST}


def _long(count: int) -> dict[str, Any]:
    """A video with that many hashes, a digest among them."""
    lines = [f"{n},90,{PDQ},{n}.000" for n in range(count - 1)]
    return item(kind="video", hashes={"vpdq": lines, **DIGEST})


def test_the_documented_limits_hold_and_not_one_less(refuser: Refuser, refused: Any) -> None:
    refused(REPORTS, report(items=[item(hashes=_many(129))]), 422, "too-much")
    refused(REPORTS, report(items=[item()] * 51), 422, "too-much")
    refused(REPORTS, report(items=[_long(129)]), 422, "too-much")
    most = report(case_key="6b" * 32, items=[item(hashes=_many(128))] * 25 + [_long(128)] * 25)
    assert refuser.post(REPORTS, most).status_code == 201
    refused(ITEMS, {"case_key": "6b" * 32, "items": [item()]}, 422, "too-much")
    more = item(extends=1, hashes={"md5": MD5})
    refused(ITEMS, {"case_key": "6b" * 32, "items": [more]}, 422, "too-much")


def test_only_platforms_that_take_part_are_named(refused: Any) -> None:
    refused(
        REPORTS, report(items=[item(platforms=["ptn_0nobody0at0all"])]), 422, "platform-unknown"
    )


@pytest.mark.parametrize("platform", ["other", "ptn_0nobody0at0all"])
def test_a_place_is_taken_only_for_a_platform_that_needs_it(
    refuser: Refuser, refused: Any, platform: str
) -> None:
    name = refuser.other["partner_id"] if platform == "other" else platform
    places = [{"platform": name, "where_seen": "https://social.example/u/1234567"}]
    refused(REPORTS, report(items=[item(locations=places)]), 422, "location-refused")


@pytest.mark.parametrize(
    "place", ["", "x" * 501, "\ud800-half-a-character", "line\nbreak", "nul\0nul", "\x1b[2J"]
)
def test_a_place_is_one_line_of_text(refuser: Refuser, refused: Any, place: str) -> None:
    places = [{"platform": refuser.mine["partner_id"], "where_seen": place}]
    refused(REPORTS, report(items=[item(locations=places)]), 422, "body-invalid")


# ---- age -----------------------------------------------------------------------------------------


@dataclass
class Attempt:
    """One age proof, right until something in it is changed."""

    refuser: Refuser
    body: bytes = b""
    device: Device = field(default_factory=Device)
    now: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        age = {"profile": "jwt-age-v1", "band": "13_15"}
        case_key = sha256(self.refuser.fresh_key().encode()).hexdigest()
        self.body = self.body or json.dumps(report(age=age, case_key=case_key)).encode()

    def token(
        self,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        key: Ed25519PrivateKey | None = None,
    ) -> str:
        issuer = self.refuser.issuer
        own = {"typ": "age-proof+jwt", "alg": "Ed25519", "kid": issuer.jwk()["kid"]}
        members = {
            "iss": issuer.id,
            "aud": AUDIENCE,
            "iat": self.now,
            "exp": self.now + 600,
            "jti": self.refuser.fresh_key(),
            "nonce": self._nonce(),
            "cnf": {"jkt": self.device.thumbprint()},
            "age_under_18": True,
        }
        return ed25519(
            key or issuer.key, changed(own, header or {}), changed(members, claims or {})
        )

    def proof(self, token: str, claims: Mapping[str, Any] | None = None) -> str:
        members = {
            "jti": self.refuser.fresh_key(),
            "htm": "POST",
            "htu": f"{self.refuser.runtime.settings.public_url}{REPORTS}",
            "iat": self.now,
            "ath": b64(sha256(token.encode()).digest()),
            "body_sha256": b64(sha256(self.body).digest()),
        }
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.device.jwk()}
        return self.device.sign(header, changed(members, claims or {}))

    def headers(self, token: str, proof: str | None = None) -> dict[str, str]:
        return {"Authorization": f"DPoP {token}", "DPoP": proof or self.proof(token)}

    def _nonce(self) -> str:
        profiles = self.refuser.client.get("/v1/age/challenge").get_json()["profiles"]
        return str(next(p["nonce"] for p in profiles if p["profile"] == "jwt-age-v1"))


BAD_TOKENS: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"iat": -900, "exp": -300}, "expired"),
    "from the future": ({"iat": 120, "exp": 600}, "not-yet-valid"),
    "good for too long": ({"iat": 0, "exp": 3600}, "lifetime"),
    "for somebody else": ({"aud": "https://another.example"}, "audience"),
    "of an unknown issuer": ({"iss": "https://nobody.example"}, "issuer-unknown"),
    "for another day": ({"nonce": "a" * 43}, "challenge"),
    "with a name": ({"sub": "Maria-Mustermann"}, "claim-extra"),
    "with a birth date": ({"birthdate": "2012-02-29"}, "claim-extra"),
    "without its age": ({"age_under_18": ABSENT}, "claim-missing"),
    "of an adult": ({"age_under_18": False}, "claim-not-true"),
    "nearly true": ({"age_under_18": "true"}, "claim-not-true"),
    "bound to another key": ({"cnf": {"jkt": "b" * 43}}, "proof-key"),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_an_age_token_that_does_not_hold_is_refused(
    refuser: Refuser, refused: Any, name: str
) -> None:
    attempt = Attempt(refuser)
    changes, reason = BAD_TOKENS[name]
    claims = {n: attempt.now + v if n in ("iat", "exp") else v for n, v in changes.items()}
    headers = attempt.headers(attempt.token(claims))
    problem = refused(REPORTS, attempt.body, 401, "age-refused", **headers)
    assert problem["reason"] == reason


def test_an_age_token_signed_with_another_key_is_refused(refuser: Refuser, refused: Any) -> None:
    attempt = Attempt(refuser)
    headers = attempt.headers(attempt.token(key=Ed25519PrivateKey.generate()))
    problem = refused(REPORTS, attempt.body, 401, "age-refused", **headers)
    assert problem["reason"] == "token-signature"


BAD_PROOFS: dict[str, tuple[dict[str, Any], str]] = {
    "an hour early": ({"iat": 3600}, "proof-stale"),
    "an hour late": ({"iat": -3600}, "proof-stale"),
    "for another route": ({"htu": "https://another.example/v1/reports"}, "proof-url"),
    "for another method": ({"htm": "GET"}, "proof-method"),
    "for another token": ({"ath": "c" * 43}, "proof-token"),
    "for another body": ({"body_sha256": "d" * 43}, "proof-body"),
}


@pytest.mark.parametrize("name", BAD_PROOFS)
def test_a_proof_that_does_not_fit_is_refused(refuser: Refuser, refused: Any, name: str) -> None:
    attempt = Attempt(refuser)
    changes, reason = BAD_PROOFS[name]
    token = attempt.token()
    claims = {n: attempt.now + v if n == "iat" else v for n, v in changes.items()}
    headers = attempt.headers(token, attempt.proof(token, claims))
    problem = refused(REPORTS, attempt.body, 401, "age-refused", **headers)
    assert problem["reason"] == reason


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "DPoP"},
        {"Authorization": "DPoP rubbish.rubbish.rubbish", "DPoP": "x.y.z"},
        {"Authorization": "Bearer " + "e" * 5_000, "DPoP": "x.y.z"},
    ],
)
def test_a_token_profile_needs_a_token(
    refuser: Refuser, refused: Any, headers: dict[str, str]
) -> None:
    refused(REPORTS, Attempt(refuser).body, 401, "age-refused", **headers)


def test_an_unknown_profile_is_refused_with_a_challenge(refuser: Refuser, refused: Any) -> None:
    body = report(age={"profile": "mind-reading-v1", "band": "13_15"})
    assert refused(REPORTS, body, 401, "age-refused")["reason"] == "profile"
    assert refuser.post(REPORTS, body).headers["WWW-Authenticate"].startswith("DPoP ")


def test_an_age_token_is_good_for_one_report(refuser: Refuser, refused: Any) -> None:
    first = Attempt(refuser)
    token = first.token()
    assert refuser.post(REPORTS, first.body, **first.headers(token)).status_code == 201
    second = Attempt(refuser, device=first.device)
    refused(REPORTS, second.body, 401, "age-token-spent", **second.headers(token))


# ---- cases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [OPEN, WITHDRAW])
def test_an_unknown_case_key_opens_nothing(refused: Any, path: str) -> None:
    refused(path, {"case_key": "0f" * 32}, 404, "case-not-found")


def test_nothing_is_added_to_an_unknown_case(refused: Any) -> None:
    refused(ITEMS, {"case_key": "0f" * 32, "items": [item()]}, 404, "case-not-found")


def test_nothing_is_added_to_a_withdrawn_case(refuser: Refuser, refused: Any) -> None:
    case_key = refuser.case()
    assert refuser.post(WITHDRAW, {"case_key": case_key}).status_code == 200
    refused(ITEMS, {"case_key": case_key, "items": [item()]}, 409, "case-withdrawn")
    assert refuser.post(OPEN, {"case_key": case_key}).status_code == 200


def test_a_case_key_makes_one_case(refuser: Refuser, refused: Any) -> None:
    refused(REPORTS, report(case_key=refuser.case()), 409, "case-key-taken")


@pytest.mark.parametrize(
    "extension",
    [
        item(extends=2),
        item(extends=1, kind="video"),
        item(extends=1, locations=[{"platform": "ptn_x", "where_seen": "somewhere-on-the-web"}]),
    ],
)
def test_an_extension_fits_its_item(
    refuser: Refuser, refused: Any, extension: dict[str, Any]
) -> None:
    body = {"case_key": refuser.case(), "items": [extension]}
    answer = refuser.post(ITEMS, body)
    assert answer.status_code == 422
    refused(ITEMS, body, 422, answer.get_json()["code"])
    assert answer.get_json()["code"] in ("report-invalid", "location-refused")


# ---- the same request again ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 65, "sixteen letters!", "\u00e4" * 16, "a" * 16 + ","]
)
@pytest.mark.parametrize("path", [REPORTS, ITEMS])
def test_an_idempotency_key_has_one_form(refused: Any, path: str, key: str) -> None:
    body = report() if path == REPORTS else {"case_key": "ab" * 32, "items": [item()]}
    refused(path, body, 400, "header-invalid", **{"Idempotency-Key": key})


def test_an_idempotency_key_belongs_to_one_body(refuser: Refuser, refused: Any) -> None:
    again = {"Idempotency-Key": "the-same-key-again"}
    body = report(case_key="7c" * 32)
    first = refuser.post(REPORTS, body, **again)
    assert first.status_code == 201
    refused(REPORTS, report(case_key="7d" * 32), 422, "idempotency-key-reused", **again)
    kept = refuser.kept()
    repeated = refuser.post(REPORTS, body, **again)
    assert (repeated.status_code, repeated.get_data()) == (201, first.get_data())
    assert refuser.kept() == kept


# ---- partners ------------------------------------------------------------------------------------

PARTNER_ROUTES = {
    "/v1/partner/items/itm_" + "0" * 32: None,
    "/v1/partner/messages": None,
    "/v1/partner/items/itm_" + "0" * 32 + "/feedback": {"feedback": "removed"},
    "/v1/partner/messages/acknowledge": {"ids": ["msg_" + "0" * 32]},
    "/v1/partner/secret/rotate": {"secret": "api_key"},
}
NO_KEY = [
    "",
    "Bearer",
    "Bearer ",
    "Basic dXNlcjpwYXNz",
    "Bearer rrp_nobody_" + "a" * 22,
    "Bearer \u00e4\u00f6",
]


def _call(refuser: Refuser, path: str, headers: Mapping[str, str]) -> TestResponse:
    body = PARTNER_ROUTES[path]
    if body is None:
        return refuser.client.get(path, headers=dict(headers))
    return refuser.post(path, body, **headers)


@pytest.mark.parametrize("credentials", NO_KEY)
@pytest.mark.parametrize("path", PARTNER_ROUTES)
def test_a_partner_route_asks_for_an_api_key(refuser: Refuser, path: str, credentials: str) -> None:
    before = refuser.kept(), refuser.log.getvalue()
    answer = _call(refuser, path, {"Authorization": credentials} if credentials else {})
    assert_refused(refuser, answer, 401, "partner-key-wrong", before)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    for method in ("HEAD", "OPTIONS"):
        answer = refuser.client.open(path, method=method)
        assert answer.status_code in (401, 405)
        assert answer.status_code == 401 or "Allow" in answer.headers


def test_a_key_that_was_replaced_is_refused(refuser: Refuser) -> None:
    add = refuser.runtime.services.manage_partners.add
    made = add("Gamma", None, "v1a", "none", None, takes_location=False)
    body = {"secret": "api_key", "overlap_hours": 0}
    answer = refuser.post("/v1/partner/secret/rotate", body, **refuser.as_partner(made))
    assert answer.status_code == 200
    answer = refuser.client.get("/v1/partner/messages", headers=refuser.as_partner(made))
    assert (answer.status_code, answer.get_json()["code"]) == (401, "partner-key-wrong")


def test_a_suspended_partner_is_refused(refuser: Refuser) -> None:
    manage = refuser.runtime.services.manage_partners
    made = manage.add("Delta", None, "v1a", "none", None, takes_location=False)
    manage.suspend(str(made["partner_id"]))
    for path in PARTNER_ROUTES:
        answer = _call(refuser, path, refuser.as_partner(made))
        assert (answer.status_code, answer.get_json()["code"]) == (403, "partner-suspended")


def test_another_partners_item_does_not_exist(refuser: Refuser, refused: Any) -> None:
    theirs, key = refuser.item_of(refuser.other), refuser.as_partner(refuser.mine)
    body = {"feedback": "removed"}
    refused(f"/v1/partner/items/{theirs}/feedback", body, 404, "partner-unknown", **key)
    mine, unknown = (
        refuser.client.get(f"/v1/partner/items/{name}", headers=key)
        for name in (theirs, "itm_" + "0" * 32)
    )
    assert mine.status_code == unknown.status_code == 404
    assert mine.get_data() == unknown.get_data()


@pytest.mark.parametrize("name", ["itm_", "itm_" + "g" * 32, "%00", "itm_%F0%9F", "a" * 5_000])
def test_a_name_that_cannot_be_one_is_unknown(refuser: Refuser, name: str) -> None:
    answer = refuser.client.get(
        f"/v1/partner/items/{name}", headers=refuser.as_partner(refuser.mine)
    )
    assert (answer.status_code, answer.get_json()["code"]) == (404, "partner-unknown")


def test_feedback_keeps_its_order(refuser: Refuser, refused: Any) -> None:
    path = f"/v1/partner/items/{refuser.item_of(refuser.mine)}/feedback"
    key = refuser.as_partner(refuser.mine)
    assert refuser.post(path, {"feedback": "removed"}, **key).status_code == 200
    for word in ("acknowledged", "pending_review", "not_found", "withdrawn_done"):
        refused(path, {"feedback": word}, 409, "feedback-out-of-order", **key)


BAD_FEEDBACK = [
    {},
    {"feedback": "sent"},
    {"feedback": "deleted"},
    {"feedback": 1},
    {"feedback": "removed", "note": "we-looked-at-the-picture"},
    {"feedback": "removed", "automated": "yes"},
    {"feedback": "removed", "automated": 1},
    {"feedback": "removed", "reason_code": "With Spaces"},
    {"feedback": "removed", "reason_code": ""},
    {"feedback": "removed", "redress_url": "http://social.example/appeal"},
    {"feedback": "removed", "redress_url": "javascript:alert(document.cookie)"},
    {"feedback": "removed", "redress_url": "https://social.example/<script>"},
    {"feedback": "removed", "redress_url": "https://" + "a" * 301},
]


@pytest.mark.parametrize("body", BAD_FEEDBACK, ids=str)
def test_feedback_has_one_shape(refuser: Refuser, refused: Any, body: dict[str, Any]) -> None:
    path = f"/v1/partner/items/{'itm_' + '0' * 32}/feedback"
    refused(path, body, 422, "body-invalid", **refuser.as_partner(refuser.mine))


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("messages/acknowledge", {"ids": []}),
        ("messages/acknowledge", {"ids": "msg_" + "0" * 32}),
        ("messages/acknowledge", {"ids": ["msg_" + "0" * 31]}),
        ("messages/acknowledge", {"ids": ["msg_" + "0" * 32] * 501}),
        ("secret/rotate", {}),
        ("secret/rotate", {"secret": "everything"}),
        ("secret/rotate", {"secret": "api_key", "overlap_hours": -1}),
        ("secret/rotate", {"secret": "api_key", "overlap_hours": 169}),
        ("secret/rotate", {"secret": "api_key", "overlap_hours": "24"}),
        ("secret/rotate", b'{"secret": "api_key", "overlap_hours": 1e999}'),
    ],
)
def test_what_partners_send_has_one_shape(
    refuser: Refuser, refused: Any, route: str, body: Any
) -> None:
    refused(f"/v1/partner/{route}", body, 422, "body-invalid", **refuser.as_partner(refuser.mine))


def test_somebody_elses_message_cannot_be_acknowledged(refuser: Refuser, refused: Any) -> None:
    refuser.case()
    headers = refuser.as_partner(refuser.other)
    theirs = refuser.client.get("/v1/partner/messages", headers=headers).get_json()["messages"][-1]
    body = {"ids": [theirs["id"]]}
    key = refuser.as_partner(refuser.mine)
    refused("/v1/partner/messages/acknowledge", body, 404, "partner-unknown", **key)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=many",
        "limit=",
        "after=x",
        "after=-1",
        "after=" + "1" * 19,
        "page=2",
    ],
)
def test_a_listing_takes_what_is_documented(refuser: Refuser, query: str) -> None:
    answer = refuser.client.get(
        f"/v1/partner/messages?{query}", headers=refuser.as_partner(refuser.mine)
    )
    assert (answer.status_code, answer.get_json()["code"]) == (400, "query-invalid")


@pytest.mark.parametrize("path", ["/v1/platforms", "/v1/age/challenge", "/healthz", "/docs"])
def test_a_request_to_read_brings_no_body(refuser: Refuser, path: str) -> None:
    answer = refuser.client.get(path, data=MEDIA["jpeg"], content_type="image/jpeg")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "body-unexpected")
