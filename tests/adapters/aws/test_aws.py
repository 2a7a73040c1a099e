"""Clients find what Lambda, Fargate and an operator's shell give them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.adapters import aws as app_aws
from app.bootstrap import StartRefused, build
from app.root_keys import make_root_keys, root_key_ids
from app.settings import PREFIX, Settings
from tests.adapters.aws.faults import answer

ELSEWHERE = {"STORE": "dynamodb", "KEYS": "kms", "LIMITS": "dynamodb"}


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_is_found_by_either_name(
    nowhere: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "eu-west-2")
    assert app_aws.client("sqs").meta.region_name == "eu-west-2"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing names a region."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    app_aws._session.cache_clear()
    yield
    app_aws._session.cache_clear()


def _settings(folder: Path, **chosen: str) -> Settings:
    env = {f"{PREFIX}{name}": value for name, value in chosen.items()}
    return Settings.from_env({**env, f"{PREFIX}DATA_DIR": str(folder)})


@pytest.mark.parametrize("region", [None, "", " "])
def test_without_a_region_a_start_is_refused_in_a_sentence(
    nowhere: None, monkeypatch: pytest.MonkeyPatch, region: str | None, tmp_path: Path
) -> None:
    if region is not None:
        monkeypatch.setenv("AWS_REGION", region)
    for act in (build, make_root_keys, root_key_ids):
        with pytest.raises(StartRefused, match="AWS_REGION is not set"):
            act(_settings(tmp_path, **ELSEWHERE))
    with pytest.raises(StartRefused, match="AWS_REGION is not set"):
        build(_settings(tmp_path, LIMITS="dynamodb"))


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_REGION", "eu_west_2!"), ("AWS_PROFILE", "nonesuch")]
)
def test_a_region_or_a_profile_that_is_none_is_not_repeated(
    nowhere: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    monkeypatch.setenv(name, value)
    with pytest.raises(StartRefused, match="cannot be used") as refused:
        build(_settings(tmp_path, **ELSEWHERE))
    assert value not in str(refused.value)


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
