"""The wire: what is answered to whom, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from infra.broker.errors import Code, SignerUnavailable, Word
from infra.broker.web import PROBLEMS, REQUEST_TYPE
from tests.infra.broker.running import FUZZ, Here, here, is_signed, request_bytes, write

DIRECTORY = "/.well-known/private-token-issuer-directory"
FORBIDDEN = ("report", "remov", "take down", "image", "photo")


def code_of(answer: object) -> tuple[int, str]:
    status, body = answer.status_code, answer.get_data()  # type: ignore[attr-defined]
    assert answer.content_type == "application/problem+json"  # type: ignore[attr-defined]
    return status, json.loads(body)["code"]


def test_the_directory_is_what_rfc_9578_says(broker: Here) -> None:
    answer = broker.client.get(DIRECTORY)
    assert answer.content_type == "application/private-token-issuer-directory"
    listed = json.loads(answer.data)
    assert listed["issuer-request-uri"] == "/token-request"
    assert [key["token-key"] for key in listed["token-keys"]] == [
        broker.key(0).spki_text,
        broker.key(1).spki_text,
    ]
    assert [key["predicate"] for key in listed["token-keys"]] == [
        "under18-document",
        "under18-estimate",
    ]
    assert [provider["name"] for provider in listed["providers"]] == ["development"]


def test_a_grant_gives_three_blind_signatures(broker: Here) -> None:
    broker.passed(person="alice")
    for left in (3, 2, 1):
        shown = broker.client.get("/grant")
        assert json.loads(shown.data) == {"predicate": "under18-document", "left": left}
        request = request_bytes(broker.key())
        answer = broker.ask(request)
        assert (answer.status_code, answer.content_type) == (
            200,
            "application/private-token-response",
        )
        assert is_signed(broker.key(), request, answer.data)
    assert json.loads(broker.client.get("/grant").data)["left"] == 0
    assert code_of(broker.ask(request_bytes(broker.key()))) == (403, "grant-used-up")


@pytest.mark.parametrize("length", [0, 1, 258, 260, 2000])
def test_another_length_is_refused(broker: Here, length: int) -> None:
    broker.passed()
    assert code_of(broker.ask((b"\x00\x02" + bytes(length))[:length])) == (422, "request-length")


def test_another_type_is_refused(broker: Here) -> None:
    broker.passed()
    for kind in (b"\x00\x01", b"\x00\x00", b"\xda\x7a", b"\x02\x00"):
        body = kind + request_bytes(broker.key())[2:]
        assert code_of(broker.ask(body)) == (422, "token-type")


def test_another_key_byte_is_refused(broker: Here) -> None:
    broker.passed()
    known = {key.id_byte for key in broker.desk.keys.keys}
    request = bytearray(request_bytes(broker.key()))
    for byte in set(range(256)) - known:
        request[2] = byte
        assert code_of(broker.ask(bytes(request))) == (422, "key-unknown")


def test_the_key_of_another_claim_is_refused(broker: Here) -> None:
    broker.passed()
    assert code_of(broker.ask(request_bytes(broker.key(1)))) == (403, "predicate")
    assert broker.ask(request_bytes(broker.key(0))).status_code == 200


def test_messages_outside_of_the_range_are_refused_and_cost_nothing(broker: Here) -> None:
    broker.passed()
    n = broker.key().modulus
    for blinded in (0, 1, n - 1, n, n + 1, 2**2048 - 1):
        answer = broker.ask(request_bytes(broker.key(), blinded))
        assert code_of(answer) == (422, "blinded-range")
    assert json.loads(broker.client.get("/grant").data)["left"] == 3


def test_nobody_without_a_grant_has_anything_signed(broker: Here) -> None:
    request = request_bytes(broker.key())
    assert code_of(broker.client.get("/grant")) == (404, "grant-missing")
    assert code_of(broker.ask(request)) == (403, "grant-missing")
    assert "Retry-After" not in broker.ask(request).headers
    for cookie in ("x", "A" * 43, "0", "'; DROP TABLE granted; --"):
        broker.client.set_cookie("pass", cookie)
        assert code_of(broker.ask(request)) == (403, "grant-missing")


def test_a_grant_ends_after_ten_minutes(broker: Here) -> None:
    broker.passed()
    broker.clock.forward(minutes=9, seconds=59)
    assert broker.ask(request_bytes(broker.key())).status_code == 200
    broker.clock.forward(seconds=1)
    # The client's jar goes by the real clock, so the cookie is still sent.
    assert code_of(broker.ask(request_bytes(broker.key()))) == (403, "grant-missing")
    assert broker.client.get("/grant").status_code == 404


def test_a_person_has_six_tokens_a_day_however_often_they_come(broker: Here) -> None:
    for _ in range(2):
        broker.passed(person="alice")
        for _ in range(3):
            assert broker.ask(request_bytes(broker.key())).status_code == 200
    answer = broker.client.post("/providers/development/start", data={"age": 9, "person": "alice"})
    assert answer.headers["Location"] == "/pass?problem=limit"
    broker.passed(person="bob")
    assert broker.ask(request_bytes(broker.key())).status_code == 200


def test_grants_taken_ahead_do_not_pass_the_limit(broker: Here) -> None:
    cookies = []
    for _ in range(3):
        broker.passed(person="alice")
        cookie = broker.client.get_cookie("pass")
        assert cookie is not None
        cookies.append(cookie.value)
    statuses = []
    for cookie_value in cookies * 3:
        broker.client.set_cookie("pass", cookie_value)
        statuses.append(broker.ask(request_bytes(broker.key())).status_code)
    assert statuses.count(200) == 6
    assert statuses.count(429) == 3
    broker.client.set_cookie("pass", cookies[0])
    assert code_of(broker.ask(request_bytes(broker.key())))[0] in (403, 429)


def test_a_new_day_begins_anew(broker: Here) -> None:
    broker.clock.now = datetime(2026, 11, 20, 23, 55, tzinfo=UTC)
    broker.passed(person="alice")
    for _ in range(3):
        assert broker.ask(request_bytes(broker.key())).status_code == 200
    broker.passed(person="alice")
    broker.clock.forward(minutes=6)
    broker.desk.tidy()
    # A grant of yesterday counts for yesterday, though its key is gone.
    for _ in range(3):
        assert broker.ask(request_bytes(broker.key())).status_code == 200
    broker.passed(person="alice")
    assert broker.ask(request_bytes(broker.key())).status_code == 200
    days = {row[0] for row in broker.days._connection.execute("SELECT day FROM granted")}
    assert len(days) == 2
    broker.clock.forward(minutes=10)
    broker.desk.tidy()
    days = {row[0] for row in broker.days._connection.execute("SELECT day FROM granted")}
    assert len(days) == 1


@pytest.mark.parametrize(
    ("hour", "minute", "second", "hours"),
    [
        (0, 0, 0, 24),
        (0, 0, 1, 24),
        (11, 0, 0, 13),
        (11, 0, 1, 13),
        (22, 59, 59, 2),
        (23, 59, 59, 1),
    ],
)
def test_who_had_the_days_tokens_hears_when_the_day_has_ended(
    broker: Here, hour: int, minute: int, second: int, hours: int
) -> None:
    broker.clock.now = datetime(2026, 11, 20, hour, minute, second, tzinfo=UTC)
    answer = limited(broker)
    assert code_of(answer) == (429, "daily-limit")
    assert whole_hours(answer) == hours


def test_the_wait_says_nothing_of_who_waits(broker: Here) -> None:
    """Neither when somebody had their tokens, nor the minute, nor that a grant is of yesterday."""
    said = set()
    for person in ("alice", "bob"):
        said.add(whole_hours(limited(broker, person)))
        broker.clock.forward(minutes=9)
    assert said == {12}
    broker.clock.now = datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
    said = {whole_hours(limited(broker, "carol"))}
    broker.clock.forward(minutes=2)
    answer = broker.ask(request_bytes(broker.key()))
    assert code_of(answer) == (429, "daily-limit")
    assert said == {whole_hours(answer)} == {1}


def test_who_comes_again_on_time_does_not_come_at_a_time_of_their_own(broker: Here) -> None:
    """A wait of whole hours would keep the minute at which somebody was refused."""
    limited(broker)
    waits = {broker.ask(request_bytes(broker.key())).headers["Retry-After"] for _ in range(20)}
    assert len(waits) > 15


def whole_hours(answer: TestResponse) -> int:
    return int(answer.headers["Retry-After"]) // 3600


def limited(broker: Here, person: str = "alice") -> TestResponse:
    """The answer to one request more than that person's six of the day."""
    cookies = []
    for _ in range(3):
        broker.passed(person=person)
        cookie = broker.client.get_cookie("pass")
        assert cookie is not None
        cookies.append(cookie.value)
    for cookie_value in cookies * 2:
        broker.client.set_cookie("pass", cookie_value)
        assert broker.ask(request_bytes(broker.key())).status_code == 200
    answer: TestResponse = broker.ask(request_bytes(broker.key()))
    return answer


def test_a_page_sends_on_at_once(broker: Here) -> None:
    """There, Retry-After would be for the redirect (RFC 9110 section 10.2.3)."""
    limited(broker)
    answer = broker.client.post("/providers/development/start", data={"age": 9, "person": "alice"})
    assert answer.headers["Location"] == "/pass?problem=limit"
    assert "Retry-After" not in answer.headers


def test_a_signer_that_fails_costs_nothing(broker: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    broker.passed(person="alice")

    def fail(label: str, blinded: bytes) -> bytes:
        raise SignerUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(broker.desk._signer, "raw", fail)
        for _ in range(9):
            answer = broker.ask(request_bytes(broker.key()))
            assert code_of(answer) == (503, "signer-unavailable")
            assert answer.headers["Retry-After"] == "2"
    assert "signer.failed" in broker.log.getvalue()
    for _ in range(3):
        assert broker.ask(request_bytes(broker.key())).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "x"])
def test_other_sites_can_start_and_ask_nothing(broker: Here, site: str) -> None:
    headers = {"Sec-Fetch-Site": site}
    form = {"age": "15"}
    answer = broker.client.post("/providers/development/start", data=form, headers=headers)
    assert code_of(answer) == (403, "cross-site")
    broker.passed()
    assert code_of(broker.ask(request_bytes(broker.key()), headers=headers)) == (403, "cross-site")
    own = {"Sec-Fetch-Site": "same-origin"}
    assert broker.ask(request_bytes(broker.key()), headers=own).status_code == 200


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     REQUEST_TYPE + "; charset=x", "application/octet-stream"],
)  # fmt: skip
def test_another_media_type_is_refused(broker: Here, kind: str) -> None:
    broker.passed()
    answer = broker.client.post(
        "/token-request", data=request_bytes(broker.key()), content_type=kind
    )
    assert code_of(answer) == (415, "media-type")


def test_large_bodies_are_refused(broker: Here) -> None:
    broker.passed()
    assert code_of(broker.ask(bytes(4097))) == (413, "too-large")
    answer = broker.client.post("/providers/development/start", data={"age": "1" * 5000})
    assert code_of(answer) == (413, "too-large")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_tokens_and_starts_are_posted(broker: Here, method: str) -> None:
    broker.passed()
    for path in ("/token-request", "/providers/development/start"):
        answer = broker.client.open(path, method=method)
        assert answer.status_code == 405
        assert "POST" in answer.headers["Allow"]


def test_a_look_ahead_uses_nothing_up(broker: Here) -> None:
    assert broker.client.head("/providers/development/return").status_code == 405
    assert broker.client.head("/pass").status_code == 200
    assert broker.client.head(DIRECTORY).status_code == 200


@pytest.mark.parametrize("path", ["/", "/passes", "/providers/none/return/x", "/static/../web.py"])
def test_nothing_else_is_there(broker: Here, path: str) -> None:
    assert code_of(broker.client.get(path)) == (404, "not-found")


def test_a_provider_that_is_not_there_is_said(broker: Here) -> None:
    assert code_of(broker.client.post("/providers/none/start")) == (404, "not-found")
    assert broker.client.get("/providers/none/return").headers["Location"].endswith("=ended")


@pytest.mark.parametrize("age", ["18", "19", "120", "-1", "", "15.5", "abc", "٣", "1e1", "9999"])
def test_whoever_is_not_under_18_gets_no_grant(broker: Here, age: str) -> None:
    answer = broker.client.post("/providers/development/start", data={"age": age})
    assert answer.headers["Location"] == "/pass?problem=refused"
    assert broker.client.get_cookie("pass") is None


def test_the_development_page_asks_for_an_age(broker: Here) -> None:
    answer = broker.client.post("/providers/development/start")
    assert answer.status_code == 200
    assert 'name="age"' in answer.text
    assert "checks nobody" in answer.text


def test_the_cookie_is_for_the_server_alone(tmp_path: Path, keys: Path) -> None:
    path = write(tmp_path, keys)
    for scheme in ("http", "https"):
        text = path.read_text().replace('public_url = "http:', f'public_url = "{scheme}:')
        path.write_text(text)
        running = here(path)
        answer = running.client.post("/providers/development/start", data={"age": 3})
        name = "__Host-pass=" if scheme == "https" else "pass="
        (cookie,) = [c for c in answer.headers.getlist("Set-Cookie") if c.startswith(name)]
        wanted = {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"}
        assert wanted <= set(cookie.split("; "))
        assert ("Secure" in cookie.split("; ")) is (scheme == "https")
        running.days.close()


class Page(HTMLParser):
    """What a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_tells_its_script_where_it_may_go(broker: Here) -> None:
    page = Page(broker.client.get("/pass").text)
    (main,) = [attributes for tag, attributes in page.tags if tag == "main"]
    assert json.loads(main["data-returns"] or "") == ["https://young.example"]
    assert json.loads(main["data-providers"] or "") == [
        {
            "name": "development",
            "title": "Choose an age",
            "learns": "Nobody learns anything.",
            "predicate": "under18-document",
        }
    ]


def test_the_page_loads_only_what_is_its_own(broker: Here) -> None:
    answer = broker.client.get("/pass")
    page = Page(answer.text)
    loaded = [a.get("src") or a.get("href") for tag, a in page.tags if tag in ("script", "link")]
    assert loaded == ["data:,", "/static/pass.css", "/static/pass.js"]
    assert not [a for _, a in page.tags if "style" in a or any(name[:2] == "on" for name in a)]
    policy = answer.headers["Content-Security-Policy"]
    wanted = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    assert policy.startswith(wanted)
    assert "unsafe" not in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    with broker.client.get("/static/pass.css") as style:
        assert style.status_code == 200
        assert style.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("word", [*Word, "x", "<script>", ""])
def test_each_problem_has_a_kind_sentence(broker: Here, word: str) -> None:
    page = Page(broker.client.get("/pass", query_string={"problem": word}).text)
    said = [attributes for _, attributes in page.tags if attributes.get("id") == "problem"]
    assert bool(said) is (word in list(Word))
    assert "<script>" not in page.words
    if word in list(Word):
        assert PROBLEMS[Word(word)] in unescape(page.words)


def test_no_page_says_what_the_service_does(broker: Here) -> None:
    folder = Path(__file__).resolve().parents[3] / "infra/broker"
    texts = [file.read_text() for file in (folder / "templates").iterdir()]
    texts += [*PROBLEMS.values(), broker.client.get(DIRECTORY).text]
    for text in texts:
        assert not [word for word in FORBIDDEN if word in text.lower()]


def test_every_code_has_a_status() -> None:
    from infra.broker.web import _STATUS

    assert set(_STATUS) == set(Code)
    assert set(PROBLEMS) == set(Word)


def test_an_error_of_ours_is_logged_by_its_place_alone(
    broker: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(grant_id: str) -> None:
        raise RuntimeError("Secret-Value")

    monkeypatch.setattr(broker.desk, "grant", fail)
    assert code_of(broker.client.get("/grant?q=Secret-Query")) == (500, "internal")
    line = json.loads(broker.log.getvalue())
    assert line.keys() == {"at", "event", "route", "error", "place"}
    assert (line["route"], line["error"]) == ("/grant", "RuntimeError")
    assert "Secret" not in broker.log.getvalue()


@settings(max_examples=FUZZ, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    body=st.one_of(
        st.binary(max_size=300),
        st.binary(min_size=257, max_size=257).map(lambda rest: b"\x00\x02" + rest),
    ),
    kind=st.sampled_from([REQUEST_TYPE, "text/plain", ""]),
    cookie=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60),
)
def test_whatever_is_asked_for_is_answered_fuzz(
    broker: Here, body: bytes, kind: str, cookie: str
) -> None:
    headers = {"Cookie": f"pass={cookie}"}
    answer = broker.client.post("/token-request", data=body, content_type=kind, headers=headers)
    assert answer.status_code in (403, 413, 415, 422)
    assert answer.content_type == "application/problem+json"


@settings(max_examples=FUZZ, suppress_health_check=list(HealthCheck), deadline=None)
@given(body=st.binary(min_size=257, max_size=257), place=st.integers(0, 2))
def test_with_a_grant_only_good_requests_are_signed_fuzz(
    broker: Here, body: bytes, place: int
) -> None:
    broker.passed()
    if place < 2:  # by chance alone, one request in 128 would name a key
        body = bytes([broker.key(place).id_byte]) + body[1:]
    request = b"\x00\x02" + body
    answer = broker.ask(request)
    if answer.status_code == 200:
        key = next(key for key in broker.desk.keys.keys if key.id_byte == body[0])
        assert is_signed(key, request, answer.data)
    else:
        assert answer.status_code in (403, 422)


@settings(max_examples=FUZZ, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    form=st.dictionaries(st.sampled_from(["age", "person", "x"]), st.text(max_size=40)),
    query=st.dictionaries(st.sampled_from(["code", "state", "iss"]), st.text(max_size=40)),
)
def test_providers_take_any_form_and_query_fuzz(
    broker: Here, form: dict[str, str], query: dict[str, str]
) -> None:
    started = broker.client.post("/providers/development/start", data=form)
    assert started.status_code in (200, 303)
    back = broker.client.get("/providers/development/return", query_string=query)
    assert back.headers["Location"] == "/pass?problem=ended"


def test_other_sites_may_see_that_it_is_there_and_nothing_else(broker: Here) -> None:
    """A page under COEP sees an answer only by this header; the rest stays ours."""
    shared = {
        path: broker.client.get(path).headers["Cross-Origin-Resource-Policy"]
        for path in ("/healthz", "/pass", "/grant", "/nowhere")
    }
    assert shared.pop("/healthz") == "cross-origin"
    assert set(shared.values()) == {"same-origin"}
