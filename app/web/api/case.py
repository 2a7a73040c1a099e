"""A case, opened with its key: read it, add to it, take it back."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Response

from app.services.answers import RequestKey
from app.services.open_case import CaseView
from app.web.access import Access, access
from app.web.api.reports import INTAKE, received
from app.web.api.shapes import (
    AddShape,
    CaseItemKeyShape,
    CaseKeyShape,
    CaseShape,
    ReceivedShape,
)
from app.web.context import services
from app.web.limits import limited
from app.web.problems import refuses
from app.web.shapes import KEY_HEADER, StrictBlueprint, body_bytes, idempotency_key

blueprint = StrictBlueprint("case", __name__, description="The way back to a case")


@blueprint.route("/v1/case/open", methods=["POST"])
@access(Access.CASE_KEY)
@limited("case")
@blueprint.body(CaseKeyShape())
@blueprint.response(200, CaseShape)
def open_case(body: dict[str, Any]) -> CaseView:
    """Open a case"""
    return services().open_case(body["case_key"])


@blueprint.route("/v1/case/items", methods=["POST"])
@access(Access.CASE_KEY)
@limited("case")
@refuses(*INTAKE, "case-withdrawn")
@blueprint.body(AddShape())
@blueprint.answers(
    201,
    ReceivedShape(),
    description="Received. Open the case to see outcomes.",
    parameters=[KEY_HEADER],
)
def add_items(body: dict[str, Any]) -> Response:
    """Add photos or videos to a case"""
    digest = hashlib.sha256(body_bytes()).digest()
    request = RequestKey(idempotency_key(), "/v1/case/items", digest)
    return received(services().add_to_case(body["case_key"], body["items"], request))


@blueprint.route("/v1/case/items/withdraw", methods=["POST"])
@access(Access.CASE_KEY)
@limited("case")
@refuses("report-invalid", "contested")
@blueprint.body(CaseItemKeyShape())
@blueprint.response(200, CaseShape)
def withdraw_item(body: dict[str, Any]) -> CaseView:
    """Withdraw one photo or video: every platform that was told of it is told to forget it"""
    return services().withdraw_item(body["case_key"], body["item"])


@blueprint.route("/v1/case/withdraw", methods=["POST"])
@access(Access.CASE_KEY)
@limited("case")
@refuses("contested")
@blueprint.body(CaseKeyShape())
@blueprint.response(200, CaseShape)
def withdraw(body: dict[str, Any]) -> CaseView:
    """Withdraw a case: every platform that was told is told to forget it"""
    return services().withdraw_case(body["case_key"])
