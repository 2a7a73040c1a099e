"""A device's way in: what takes part, what is needed, and the report itself."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Response, current_app, request

from app.domain.age import AgeBand, Presentation
from app.domain.report import takes_part
from app.services.answers import RequestKey
from app.web.access import Access, access
from app.web.api.shapes import ChallengeShape, PlatformsShape, ReceivedShape, ReportShape
from app.web.context import context, services, settings
from app.web.limits import count, limited
from app.web.problems import refuses
from app.web.shapes import KEY_HEADER, StrictBlueprint, body_bytes, idempotency_key
from partners.ports import Purpose

ROUNDS = 600_000
REPORTS = "/v1/reports"
INTAKE = (
    "report-invalid",
    "too-much",
    "hash-unusable",
    "platform-unknown",
    "location-refused",
    "idempotency-key-reused",
    "contested",
)

blueprint = StrictBlueprint("reports", __name__, description="Reporting a photo or video")


@blueprint.route("/v1/platforms")
@access(Access.PUBLIC)
@blueprint.response(200, PlatformsShape)
def platforms() -> dict[str, Any]:
    """The platforms that take part"""
    taking = settings().take_locations
    return {
        "platforms": [
            {"id": p.id, "name": p.name, "takes_location": taking and p.takes_location}
            for p in services().house.store.partners()
            if takes_part(p)
        ]
    }


@blueprint.route("/v1/age/challenge")
@access(Access.PUBLIC)
@blueprint.response(200, ChallengeShape)
def age_challenge() -> dict[str, Any]:
    """What a device must know before it reports"""
    rules = settings()
    salt = services().house.keys.tag(Purpose.CASE_SALT, b"published")
    return {
        "profiles": [verifier.challenge() for verifier in services().verifiers.values()],
        "case_key": {
            "kdf": "PBKDF2-HMAC-SHA256",
            "salt": salt.hex(),
            "rounds": ROUNDS,
            "length": 32,
        },
        "limits": {
            "items_per_case": rules.max_items_per_case,
            "hashes_per_item": rules.max_hashes_per_item,
            "body_bytes": rules.max_body_bytes,
        },
    }


@blueprint.route(REPORTS, methods=["POST"])
@access(Access.PUBLIC)
@limited("reports")
@refuses(
    *INTAKE,
    "age-refused",
    "age-token-spent",
    "case-key-taken",
)
@blueprint.body(ReportShape())
@blueprint.answers(
    201,
    ReceivedShape(),
    description="Received. Open the case to see outcomes.",
    parameters=[KEY_HEADER],
)
def submit(body: dict[str, Any]) -> Response:
    """Report photos or videos"""
    if body["age"]["profile"] == "declared-v1":
        count("declared")
    digest = hashlib.sha256(body_bytes()).digest()
    presentation = _presentation(body["age"], digest)
    answer = services().submit_report(
        body["case_key"],
        body["items"],
        presentation,
        RequestKey(idempotency_key(), REPORTS, digest),
    )
    context().metrics.reports.labels(presentation.profile).inc()
    return received(answer)


def received(answer: bytes) -> Response:
    """The stored answer as it was first given."""
    return current_app.response_class(answer, 201, content_type="application/json")


def _presentation(age: dict[str, str], digest: bytes) -> Presentation:
    scheme, token = _authorization()
    return Presentation(
        profile=age["profile"],
        band=AgeBand(age["band"]),
        body_digest=digest,
        method="POST",
        url=settings().public_url + REPORTS,
        token=token,
        proof=request.headers.get("DPoP"),
        scheme=scheme,
    )


def _authorization() -> tuple[str, str | None]:
    """Scheme and token: what follows, or its parameter `token` (RFC 9577 section 2.2)."""
    if "Authorization" not in request.headers:
        return "", None
    shown = request.authorization
    return (shown.type, shown.token or shown.get("token", "")) if shown else ("", "")
