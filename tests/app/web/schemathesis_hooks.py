"""Makes what schemathesis generates as valid mean something, so that it gets past our shapes.

A schema cannot say 'a hash that carries information' or 'an item that you have': without this,
every valid report would be refused for its meaning and the accepting half of the service would stay
untested. What is generated as invalid goes out untouched. Loaded by the schemathesis process.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from typing import Any

import requests
import schemathesis
from schemathesis.generation import GenerationMode

FACTS: dict[str, Any] = json.loads(os.environ["FACTS_FOR_SCHEMATHESIS"])
_numbers = itertools.count()


def _digits(length: int) -> str:
    return hashlib.sha256(str(next(_numbers)).encode()).hexdigest()[:length]


@schemathesis.auth(refresh_interval=None).apply_to(path_regex="^/v1/partner/")
class ApiKey:
    """The newest API key: the one that works after the route that replaces it was called."""

    def get(self, case: Any, ctx: Any) -> str:
        return str(FACTS["api_key"])

    def set(self, case: Any, data: str, ctx: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.hook
def before_call(ctx: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    path, body = case.operation.path, copy.deepcopy(case.body)
    if path in ("/v1/reports", "/v1/case/items") and isinstance(body, dict):
        case.headers = {**(case.headers or {}), "Idempotency-Key": _digits(32)}
        case.body = _report(body) if path == "/v1/reports" else _addition(body)
    elif path in ("/v1/case/open", "/v1/case/withdraw"):
        case.body = {"case_key": _new_case()}
    elif path.startswith("/v1/partner/items/"):
        case.path_parameters = {"item_id": FACTS["item_id"]}
    elif path.endswith("/acknowledge"):
        case.body = {"ids": [FACTS["message_id"]]}


@schemathesis.hook
def after_call(ctx: Any, case: Any, response: Any) -> None:
    if case.operation.path.endswith("/secret/rotate") and response.status_code == 200:
        new = json.loads(response.content)["secrets"][0]["secret"]
        if new.startswith("rrp_"):
            FACTS["api_key"] = new


def _report(body: dict[str, Any]) -> dict[str, Any]:
    if next(_numbers) % 4:
        body["age"]["profile"] = "declared-v1"
    return {**body, "case_key": _digits(64), "items": [_item(item) for item in body["items"]]}


def _addition(body: dict[str, Any]) -> dict[str, Any]:
    items = [_item(item) for item in body["items"]][:40]
    for item in items[1:]:
        item.pop("extends", None)
    if "extends" in items[0]:
        room = items[0]["hashes"][:100]  # the item holds one already
        items[0] |= {"extends": 1, "kind": "photo", "platforms": [], "hashes": room}
    return {"case_key": _new_case(), "items": items}


def _item(item: dict[str, Any]) -> dict[str, Any]:
    known = [FACTS["partner_id"]] if item.get("platforms") else []
    return {**item, "hashes": list(_hashes(item["hashes"])), "platforms": known, "locations": []}


def _hashes(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    seen = set()
    for place, entry in enumerate(entries):
        length = 32 if entry["type"] == "md5" else 64
        meant = {**entry, "value": _digits(length)}
        if (entry["type"], entry.get("variant", "original")) in seen:
            meant["variant"] = f"v{place}"
        seen.add((meant["type"], meant.get("variant", "original")))
        yield meant


def _new_case() -> str:
    key = _digits(64)
    item = {"kind": "photo", "hashes": [{"type": "sha256", "value": _digits(64)}]}
    body: dict[str, Any] = {
        "case_key": key,
        "age": {"profile": "declared-v1", "band": "13_15"},
        "items": [item],
    }
    headers = {"Idempotency-Key": _digits(32)}
    made = requests.post(f"{FACTS['url']}/v1/reports", json=body, headers=headers, timeout=10)
    made.raise_for_status()
    return key
