"""Whether this process lives, and whether it can do its work."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.web.access import Access, access
from app.web.context import services, settings
from app.web.problems import refuses
from app.web.shapes import Shape, StrictBlueprint

blueprint = StrictBlueprint("health", __name__, description="For operators")


class HealthShape(Shape):
    """The process answers."""

    status = fields.String(required=True)


class ReadyShape(Shape):
    """The store answers; switches that must not be on in front of the public are shown."""

    status = fields.String(required=True)
    environment = fields.String(required=True)
    loopback_partners = fields.Boolean(required=True)


@blueprint.route("/healthz")
@access(Access.PUBLIC)
@blueprint.response(200, HealthShape)
def healthz() -> dict[str, Any]:
    """The process lives"""
    return {"status": "ok"}


@blueprint.route("/readyz")
@access(Access.PUBLIC)
@refuses("store-unavailable")
@blueprint.response(200, ReadyShape)
def readyz() -> dict[str, Any]:
    """The process can do its work"""
    services().house.store.ping()
    return {
        "status": "ok",
        "environment": settings().environment,
        "loopback_partners": settings().allow_loopback_partners,
    }
