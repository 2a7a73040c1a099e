"""Yoti's sessions API, on a stand-in. The real one was never met."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, Response, jsonify, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.serving import make_server

from infra.broker.issuance import Predicate
from infra.broker.providers.yoti import YotiClient, YotiProvider
from tests.infra.broker.running import FUZZ, Here, here, request_bytes, write
from tests.infra.broker.yoti_shapes import SDK_ID, SESSION, created, result

API_KEY = "an-api-key-of-the-operator"
ENTRY = """
[[provider]]
name = "yoti"
kind = "yoti"
predicate = "under18-estimate"
title = "Show your face to Yoti"
learns = "Yoti sees your face, and that you asked for a pass, and when."
sdk_id = "{sdk}"
api_key_file = "api-key"
base = "{base}"
"""


@dataclass
class StandIn:
    """What the stand-in answers, and what it was asked."""

    url: str = ""
    created: Any = field(default_factory=created)
    result: Any = field(default_factory=lambda: result("COMPLETE"))
    status: int = 200
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def app(self) -> Flask:
        app = Flask("stand-in")

        @app.post("/api/v1/sessions")
        def create() -> Any:
            return self.answer(self.created)

        @app.get("/api/v1/sessions/<session>/result")
        def show(session: str) -> Any:
            return self.answer(self.result)

        return app

    def answer(self, body: Any) -> Any:
        assert request.headers["Authorization"] == f"Bearer {API_KEY}"
        assert request.headers["Yoti-SDK-Id"] == SDK_ID
        sent = request.get_json() if request.method == "POST" else None
        self.asked.append((request.method, request.path, sent))
        if isinstance(body, bytes):
            return Response(body, self.status, content_type="application/json")
        return jsonify(body), self.status


@pytest.fixture(scope="module")
def listening() -> Iterator[StandIn]:
    serving = StandIn()
    server = make_server("127.0.0.1", 0, serving.app(), threaded=True)
    serving.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield serving
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def yoti(listening: StandIn) -> StandIn:
    listening.__dict__.update(StandIn(url=listening.url).__dict__)
    return listening


@pytest.fixture
def broker(tmp_path: Path, keys: Path, yoti: StandIn) -> Iterator[Here]:
    secret = tmp_path / "api-key"
    secret.write_text(API_KEY)
    secret.chmod(0o600)
    entry = ENTRY.format(sdk=SDK_ID, base=yoti.url)
    made = here(write(tmp_path, keys, providers=entry))
    yield made
    made.days.close()


def leave(broker: Here) -> str:
    return str(broker.client.post("/providers/yoti/start").headers["Location"])


def come_back(broker: Here, **query: str) -> Any:
    return broker.client.get("/providers/yoti/return", query_string=query)


def through(broker: Here) -> str:
    assert not leave(broker).startswith("/pass")
    return str(come_back(broker).headers["Location"])


def test_a_session_of_type_under_is_asked_for(broker: Here, yoti: StandIn) -> None:
    url = urlsplit(leave(broker))
    assert f"{url.scheme}://{url.netloc}" == yoti.url
    assert parse_qs(url.query) == {"sessionId": [SESSION], "sdkId": [SDK_ID]}
    ((method, path, wish),) = yoti.asked
    assert (method, path) == ("POST", "/api/v1/sessions")
    assert (wish["type"], wish["ttl"]) == ("UNDER", 600)
    assert wish["age_estimation"] == {"allowed": True, "threshold": 18, "level": "PASSIVE"}
    allowed = [way for way, value in wish.items() if value == {"allowed": False}]
    assert {"doc_scan", "digital_id", "credit_card"} <= set(allowed)
    back = f"{broker.configuration.public_url}/providers/yoti/return"
    assert wish["callback"] == {"auto": True, "url": back}
    assert not {"reference_id", "notification_url"} & wish.keys()


def test_complete_and_under_is_a_pass(broker: Here) -> None:
    assert through(broker) == "/pass"
    assert json.loads(broker.client.get("/grant").data)["predicate"] == "under18-estimate"
    assert broker.ask(request_bytes(broker.key(1))).status_code == 200


def test_a_document_is_another_predicate() -> None:
    client = YotiClient(SDK_ID, API_KEY, 18, "https://x", "https://x")
    document = YotiProvider("yoti", Predicate.DOCUMENT, client)
    assert document._is_under(result("COMPLETE", method="DOC_SCAN"), SESSION)
    assert not document._is_under(result("COMPLETE"), SESSION)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("FAIL", "refused"),
        ("ERROR", "refused"),
        ("CANCELLED", "cancelled"),
        ("EXPIRED", "ended"),
        ("SOMETHING_NEW", "refused"),
        ("complete", "refused"),
        ("", "refused"),
    ],
)
def test_every_other_end_is_none(broker: Here, yoti: StandIn, status: str, word: str) -> None:
    yoti.result = result(status)
    assert through(broker) == f"/pass?problem={word}"
    assert broker.client.get_cookie("pass") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "OVER"},
        {"type": "AGE"},
        {"type": ...},
        {"id": "bb005956-650d-4368-a4d6-212268a8f875"},
        {"id": ...},
        {"method": "DOC_SCAN"},
        {"method": "DIGITAL_ID"},
        {"method": ...},
        {"age": 21},
        {"age": 15},
        {"age": "18"},
        {"age": True},
        {"age": 18.0},
        {"age": None},
        {"age": ...},
        {"status": True},
        {"status": None},
        {"status": ["COMPLETE"]},
        {"status": {"value": "COMPLETE"}},
        {"result": False},
        {"result": "true"},
        {"result": 1},
        {"result": None},
    ],
    ids=str,
)
def test_complete_counts_only_for_what_was_asked(
    broker: Here, yoti: StandIn, changes: dict[str, Any]
) -> None:
    yoti.result = result("COMPLETE", **changes)
    assert through(broker) == "/pass?problem=refused"
    assert broker.client.get_cookie("pass") is None


@pytest.mark.parametrize("status", ["PENDING", "IN_PROGRESS"])
def test_a_check_that_goes_on_is_asked_for_again(broker: Here, yoti: StandIn, status: str) -> None:
    leave(broker)
    yoti.result = result(status)
    for _ in range(2):
        answer = come_back(broker)
        assert answer.status_code == 200
        assert "Look again" in answer.text
        assert '<meta http-equiv="refresh" content="5; url=/providers/yoti/return">' in answer.text
    yoti.result = result("COMPLETE")
    assert come_back(broker).headers["Location"] == "/pass"
    assert come_back(broker).headers["Location"] == "/pass?problem=ended"


def test_the_query_names_no_other_session(broker: Here, yoti: StandIn) -> None:
    leave(broker)
    assert come_back(broker, sessionId="another", status="COMPLETE").headers["Location"] == "/pass"
    assert yoti.asked[-1][1] == f"/api/v1/sessions/{SESSION}/result"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"x", b'{"id": 7}', b'{"id": "../../x"}', b'{"id": ""}', b"[" * 50_000],
    ids=lambda body: str(body)[:30],
)
def test_a_session_that_is_none_is_not_gone_to(broker: Here, yoti: StandIn, body: bytes) -> None:
    yoti.created = body
    assert leave(broker) == "/pass?problem=unavailable"


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 500, 503])
def test_an_error_is_no_result(broker: Here, yoti: StandIn, status: int) -> None:
    leave(broker)
    yoti.status = status
    assert come_back(broker).headers["Location"] == "/pass?problem=unavailable"
    assert API_KEY not in broker.log.getvalue()
    assert SESSION not in broker.log.getvalue()
    assert json.loads(broker.log.getvalue())["event"] == "provider.failed"


PARTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["COMPLETE", "UNDER", SESSION]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=FUZZ, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=st.dictionaries(st.sampled_from(["type", "id", "method", "age", "status"]), PARTS))
def test_no_other_answer_is_taken_for_under_18_fuzz(changes: dict[str, Any]) -> None:
    client = YotiClient(SDK_ID, API_KEY, 18, "https://x", "https://x")
    estimate = YotiProvider("yoti", Predicate.ESTIMATE, client)
    good = result("COMPLETE")
    same = all(type(good[k]) is type(v) and good[k] == v for k, v in changes.items())
    assert estimate._is_under(good | changes, SESSION) is same
