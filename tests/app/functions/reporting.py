"""A report through the API function, and what a platform was told of it."""

from __future__ import annotations

import json
from collections import Counter

from app.client.service import report_body
from tests.app.functions.conftest import Cloud
from tests.journeys.calls import a_photo
from tests.partners.platforms import Platform


def report(stack: Cloud, case_key: str, photos: int = 1) -> None:
    body = json.loads(report_body(case_key, "declared-v1", "13_15", [a_photo()] * photos))
    assert stack.asked("POST", "/v1/reports", body)[0] in (200, 201, 202)


def told(platform: Platform) -> Counter[str]:
    return Counter(request.headers["webhook-id"] for request in platform.received)
