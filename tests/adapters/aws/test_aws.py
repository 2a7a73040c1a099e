"""Clients find what Lambda, Fargate and an operator's shell give them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.adapters import aws as app_aws
from tests.adapters.aws.faults import answer


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_is_found_by_either_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    for other in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "eu-west-2")
    app_aws._session.cache_clear()
    try:
        assert app_aws.client("sqs").meta.region_name == "eu-west-2"
    finally:
        app_aws._session.cache_clear()


def test_requests_are_signed_by_our_own_clock_whatever_an_answer_says(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps a clock that is wrong from erasing anything (docs/decisions/0018)."""
    signed: list[str] = []

    def a_day_ahead(request: Any, **_: Any) -> Any:
        signed.append(request.headers["X-Amz-Date"].decode())
        said = answer(request.url, 400, "InvalidSignatureException")
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        said.headers["Date"] = tomorrow.strftime("%a, %d %b %Y %H:%M:%S GMT")
        return said

    client = app_aws.client("dynamodb")
    client.meta.events.register("before-send.dynamodb", a_day_ahead)
    for _ in range(2):
        with pytest.raises(ClientError, match="InvalidSignature"):
            client.list_tables()
    assert len(signed) >= 2
    for said in signed:
        at = datetime.strptime(said, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)
