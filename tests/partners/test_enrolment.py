"""An endpoint is told nothing before it allowed us and proved that it reads what we send."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from partners.egress import EgressGuard
from partners.enrolment import ASKED_RATE, enrol
from partners.errors import EnrolmentRefused, UnknownPartner
from partners.model import EndpointId, EndpointStatus, Partner, SigningScheme
from partners.registry import EndpointWish, Handover, new_partner
from partners.sender import CurlCaller, SenderSettings
from partners.signing import parse_verifying_key, verify
from tests.partners.memory import CountingIds, MemoryKeys, SetClock
from tests.partners.platforms import (
    ALLOWING,
    Authority,
    Behaviour,
    Platform,
    answer,
    echoing,
    hang,
    raw,
    reset,
)

NOW = SetClock().now()
GUARD = EgressGuard(allow_loopback=True)
KEYS = MemoryKeys()
IDS = CountingIds()
ORIGIN = "https://Remove.Example.org"


@pytest.fixture
def caller(authority: Authority) -> CurlCaller:
    return CurlCaller(GUARD, SenderSettings(ca_bundle=str(authority.bundle)))


def a_partner(
    url: str | None, scheme: SigningScheme = SigningScheme.V1A
) -> tuple[Partner, Handover]:
    wish = EndpointWish(url, scheme, status=EndpointStatus.UNVERIFIED)
    return new_partner("A", "two-days", [wish], guard=GUARD, ids=IDS, keys=KEYS, now=NOW)


def enrolled(partner: Partner, caller: CurlCaller) -> Partner:
    name = partner.endpoints[0].id
    return enrol(partner, name, caller, origin=ORIGIN, ids=IDS, keys=KEYS, now=NOW)


@pytest.mark.parametrize("scheme", SigningScheme)
def test_both_steps_make_an_endpoint_active_at_its_rate(
    caller: CurlCaller, certificate: Path, scheme: SigningScheme
) -> None:
    with Platform(echoing(), certificate) as platform:
        partner, handed = a_partner(platform.url, scheme)
        after = enrolled(partner, caller)
    (endpoint,) = after.endpoints
    assert (endpoint.status, endpoint.rate_per_minute) == (EndpointStatus.ACTIVE, 120)
    assert after.version == 2
    asked, challenged = platform.received
    assert (asked.method, asked.path) == ("OPTIONS", "/hook")
    assert asked.headers["webhook-request-origin"] == "remove.example.org"
    assert asked.headers["webhook-request-rate"] == str(ASKED_RATE)
    assert json.loads(challenged.body)["type"] == "endpoint.verification"
    key = parse_verifying_key(handed.endpoint_keys[endpoint.id])
    assert verify([key], challenged.headers, challenged.body, NOW + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("headers", "rate"),
    [
        ({"WebHook-Allowed-Origin": "*"}, None),
        ({"webhook-allowed-origin": "REMOVE.example.ORG", "webhook-allowed-rate": "*"}, None),
        (ALLOWING | {"WebHook-Allowed-Rate": "1"}, 1),
    ],
)
def test_grants(
    caller: CurlCaller, certificate: Path, headers: dict[str, str], rate: int | None
) -> None:
    with Platform(echoing(answer(200, headers=headers)), certificate) as platform:
        after = enrolled(a_partner(platform.url)[0], caller)
    assert after.endpoints[0].rate_per_minute == rate


@pytest.mark.parametrize(
    ("behave", "step"),
    [
        (answer(200), "handshake"),
        (answer(405, headers=ALLOWING), "handshake"),
        (answer(302, headers=ALLOWING | {"Location": "https://localhost:1/"}), "handshake"),
        (answer(200, headers=ALLOWING | {"WebHook-Allowed-Origin": "evil.org"}), "handshake"),
        (answer(200, headers=ALLOWING | {"WebHook-Allowed-Rate": "0"}), "handshake"),
        (answer(200, headers=ALLOWING | {"WebHook-Allowed-Rate": "-1"}), "handshake"),
        (answer(200, headers=ALLOWING | {"WebHook-Allowed-Rate": "1e9"}), "handshake"),
        (answer(200, headers=ALLOWING | {"WebHook-Allowed-Rate": "9" * 99}), "handshake"),
        (reset, "handshake"),
        (raw(b"HTTP/1.1 100 Continue\r\n\r\n", repeat=10_000), "handshake"),
        (answer(200, headers=ALLOWING), "challenge"),
        (answer(200, b"[" * 9_000, headers=ALLOWING), "challenge"),
        (answer(200, bytes(1_000_000), headers=ALLOWING), "challenge"),
        (answer(200, b'{"challenge": 7}', headers=ALLOWING), "challenge"),
        (echoing(echo=""), "challenge"),
        (echoing(echo="challenge_000"), "challenge"),
        (echoing(echo="\u00e9"), "challenge"),
    ],
)
def test_what_is_not_agreed_to_is_refused(
    caller: CurlCaller, certificate: Path, behave: Behaviour, step: str
) -> None:
    with Platform(behave, certificate) as platform:
        partner, _ = a_partner(platform.url)
        with pytest.raises(EnrolmentRefused, match=step) as refused:
            enrolled(partner, caller)
    assert platform.url not in str(refused.value)
    assert {r.path for r in platform.received} == {"/hook"}


def test_whoever_does_not_answer_is_refused_when_time_is_up(
    authority: Authority, certificate: Path
) -> None:
    hasty = CurlCaller(GUARD, SenderSettings(ca_bundle=str(authority.bundle), total_timeout=1))
    with Platform(hang, certificate) as platform:
        partner, _ = a_partner(platform.url)
        with pytest.raises(EnrolmentRefused, match="handshake"):
            enrolled(partner, hasty)


def test_an_address_that_is_not_public_is_not_asked(authority: Authority) -> None:
    strict = CurlCaller(EgressGuard(), SenderSettings(ca_bundle=str(authority.bundle)))
    partner, _ = a_partner("https://localhost:9/hook")
    with pytest.raises(EnrolmentRefused, match="endpoint-address-unsafe"):
        enrolled(partner, strict)


def test_only_its_own_endpoints_with_a_url_are_enrolled(caller: CurlCaller) -> None:
    partner, _ = a_partner(None)
    with pytest.raises(EnrolmentRefused, match="pulled"):
        enrolled(partner, caller)
    with pytest.raises(UnknownPartner):
        enrol(partner, EndpointId("x"), caller, origin=ORIGIN, ids=IDS, keys=KEYS, now=NOW)
