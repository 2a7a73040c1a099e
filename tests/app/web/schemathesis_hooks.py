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
    elif path == "/v1/case/items/withdraw":
        case.body = {"case_key": _new_case(), "item": 1}
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
        items[0] = {**_item({**items[0], "kind": "photo"}), "extends": 1, "platforms": []}
    return {"case_key": _new_case(), "items": items}


def _item(item: dict[str, Any]) -> dict[str, Any]:
    known = [FACTS["partner_id"]] if item.get("platforms") else []
    hashes = {kind: _meant(kind, of) for kind, of in item["hashes"].items()}
    if item["kind"] == "photo":
        hashes.pop("vpdq", None)
    return {
        **item,
        "hashes": hashes or {"md5": _digits(32)},
        "platforms": known,
        "locations": [],
    }


def _meant(kind: str, of: Any) -> Any:
    """Hashes that carry information, fewer than an item may have, frames in their order."""
    if kind in ("sha256", "md5"):
        return _digits(len(of))
    if kind == "vpdq":
        qualities = [line.split(",")[1] for line in of[:30]]
        return [f"{30 * n},{q},{_digits(64)},{n}.000" for n, q in enumerate(qualities)]
    return {name: {**one, "value": _digits(64)} for name, one in itertools.islice(of.items(), 30)}


def _new_case() -> str:
    key = _digits(64)
    item = {"kind": "photo", "hashes": {"sha256": _digits(64)}}
    body: dict[str, Any] = {
        "case_key": key,
        "age": {"profile": "declared-v1", "band": "13_15"},
        "items": [item],
    }
    headers = {"Idempotency-Key": _digits(32)}
    made = requests.post(f"{FACTS['url']}/v1/reports", json=body, headers=headers, timeout=10)
    made.raise_for_status()
    return key
