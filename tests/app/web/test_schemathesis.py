"""The service does what its OpenAPI document says, as an outside tool reads it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.app.web.running import ROOT, Running, running

SEED = 20_260_101
EXAMPLES = 25  # per operation and phase


def test_every_check_of_schemathesis_holds_on_every_route(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        facts = _facts(service)
        ended = _schemathesis(tmp_path, service, facts)
        logged = service.logged()
    assert ended.returncode == 0, ended.stdout[-20_000:]
    selected = re.search(r"Selected: (\d+)/(\d+)", ended.stdout)
    assert selected is not None
    assert selected[1] == selected[2] == facts["operations"]
    assert int(re.search(r"([\d,]+) generated", ended.stdout)[1].replace(",", "")) > 500  # type: ignore[index]
    assert "request.failed" not in logged
    print(*re.findall(r".*generated.*|Selected.*", ended.stdout), sep="\n")


def _facts(service: Running) -> dict[str, Any]:
    """An item and a message that the platform really has."""
    key = service.partner["api_key"]
    document = _get(f"{service.url}/openapi.json", key)
    routes = [m for path in document["paths"].values() for m in path if m in ("get", "post")]
    _report(service.url)
    listing: dict[str, Any] = {}
    until = time.monotonic() + 10
    while not listing.get("messages") and time.monotonic() < until:
        listing = _get(f"{service.url}/v1/partner/messages", key)
    message = listing["messages"][0]
    return {
        "url": service.url,
        "api_key": key,
        "partner_id": service.partner["partner_id"],
        "item_id": message["item_id"],
        "message_id": message["id"],
        "operations": str(len(routes)),
    }


def _get(url: str, key: str) -> dict[str, Any]:
    with urlopen(Request(url, headers={"Authorization": f"Bearer {key}"}), timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _report(url: str) -> None:
    body = {
        "case_key": "ab" * 32,
        "age": {"profile": "declared-v1", "band": "13_15"},
        "items": [
            {"kind": "photo", "hashes": [{"type": "sha256", "value": "0123456789abcdef" * 4}]}
        ],
    }
    headers = {"Content-Type": "application/json", "Idempotency-Key": "first-report-of-all"}
    with urlopen(Request(f"{url}/v1/reports", json.dumps(body).encode(), headers), timeout=10):
        pass


def _schemathesis(
    folder: Path, service: Running, facts: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    config = folder / "schemathesis.toml"
    config.write_text(f'hooks = "{Path(__file__).with_name("schemathesis_hooks.py")}"\n')
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "--config-file", config, "run", f"{service.url}/openapi.json"]
    command += ["--url", service.url, "--checks", "all", "--seed", str(SEED)]
    command += ["--max-examples", str(EXAMPLES), "--continue-on-failure", "--no-color"]
    env = {**os.environ, "FACTS_FOR_SCHEMATHESIS": json.dumps(facts), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=110
    )
