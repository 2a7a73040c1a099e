"""Who calls is what AWS saw, whatever the caller writes: two shapes of event, every spelling."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from app.functions import api
from app.functions.failing import FunctionFailed
from tests.app.functions.conftest import Cloud, Context
from tests.journeys.calls import a_case_key

Event = dict[str, Any]
Shape = Callable[[str, Mapping[str, str]], Event]
HERE, ELSEWHERE = "203.0.113.9", "198.51.100.7"


def by_url(address: str, headers: Mapping[str, str]) -> Event:
    """Payload format 2.0: a function URL or an HTTP API."""
    return {
        "version": "2.0",
        "rawPath": "/v1/case/open",
        "rawQueryString": "",
        "headers": {**_ours(), **headers},
        "requestContext": {
            "http": {"method": "POST", "protocol": "HTTP/1.1", "sourceIp": address},
        },
        **_body(),
    }


def by_rest(address: str, headers: Mapping[str, str]) -> Event:
    """Payload format 1.0: the REST API of edge.yaml, which appends whom it saw."""
    said = {**_ours(), **headers}
    written = headers.get("X-Forwarded-For")
    said["X-Forwarded-For"] = f"{written}, {address}" if written else address
    return {
        "resource": "/{proxy+}",
        "path": "/v1/case/open",
        "httpMethod": "POST",
        "headers": said,
        "multiValueHeaders": {name: [value] for name, value in said.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"stage": "live", "identity": {"sourceIp": address}},
        **_body(),
    }


def by_rest_plain(address: str, headers: Mapping[str, str]) -> Event:
    """The same without lists of values."""
    event = by_rest(address, headers)
    del event["multiValueHeaders"], event["multiValueQueryStringParameters"]
    return event


def _ours() -> dict[str, str]:
    key = secrets.token_urlsafe(24)
    return {"Host": "x.example", "Content-Type": "application/json", "Idempotency-Key": key}


def _body() -> Event:
    return {"body": json.dumps({"case_key": a_case_key()}), "isBase64Encoded": False}


SHAPES = (by_url, by_rest, by_rest_plain)
NAMES = (
    "X-Forwarded-For",
    "x-forwarded-for",
    "X_Forwarded_For",  # WSGI knows no difference between _ and -
    "x-fOrWaRdEd-FoR",
    "Forwarded",
    "X-Real-IP",
    "REMOTE_ADDR",
    "True-Client-IP",
)


def asked(event: Event) -> int:
    return int(api.handler(event, Context())["statusCode"])


@pytest.fixture
def twice(stack: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A service that lets each network look at a case twice."""
    monkeypatch.setenv("REPORT_REMOVE_LIMIT_CASE", "2 per year")  # no window ends while this runs
    return stack


@pytest.mark.parametrize("hops", ["0", "1"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: str(shape.__name__))
def test_no_header_chooses_the_network_that_is_counted(
    twice: Cloud, monkeypatch: pytest.MonkeyPatch, shape: Shape, hops: str
) -> None:
    """Nor does a setting that is wrong here: a proxy that does not exist is trusted."""
    monkeypatch.setenv("REPORT_REMOVE_TRUSTED_PROXIES", hops)
    assert [asked(shape(HERE, {})) for _ in range(2)] == [404, 404]
    for number, name in enumerate(NAMES):
        assert asked(shape(HERE, {name: f"192.0.2.{number}"})) == 429, name
        assert asked(shape(HERE, {name: ELSEWHERE + ", " + HERE})) == 429, name
    assert asked(shape(ELSEWHERE, {"X-Forwarded-For": HERE})) == 404


def test_both_shapes_count_one_network(twice: Cloud) -> None:
    assert [asked(shape(HERE, {})) for shape in SHAPES] == [404, 404, 429]


def test_several_headers_of_one_name_choose_nothing_either(twice: Cloud) -> None:
    def several() -> Event:
        event = by_rest(HERE, {})
        event["multiValueHeaders"] |= {
            "X-Forwarded-For": ["192.0.2.1", f"192.0.2.2, {HERE}"],
            "x-forwarded-for": ["192.0.2.3"],
            "X_FORWARDED_FOR": [secrets.token_hex(4)],
        }
        return event

    assert [asked(several()) for _ in range(3)] == [404, 404, 429]


@pytest.mark.parametrize("context", [None, {}, {"elb": {"targetGroupArn": "arn"}}])
def test_an_event_that_does_not_say_who_called_is_not_answered(
    stack: Cloud, context: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """A balancer's, for one: only a header would say it."""
    event = {**by_rest_plain(HERE, {"X-Forwarded-For": HERE}), "requestContext": context}
    with pytest.raises(FunctionFailed):
        asked(event)
    assert '"error": "UnknownEvent"' in capfd.readouterr().err


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: str(shape.__name__))
def test_headers_that_describe_a_connection_do_no_harm(stack: Cloud, shape: Shape) -> None:
    for name, value in (
        ("X_Forwarded_Port", "no number"),
        ("X-Forwarded-Proto", "gopher"),
        ("Host", "a b:c/\\"),
        ("Content_Length", "-5"),
        ("Content-Length", "999999"),
        ("Transfer-Encoding", "chunked"),
    ):
        assert asked(shape(HERE, {name: value})) == 404, name
