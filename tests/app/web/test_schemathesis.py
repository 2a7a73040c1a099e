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
EXAMPLES = 15  # per operation, beside those that reach every corner of the schemas


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_check_of_schemathesis_holds_on_every_route(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        document = _get(f"{service.url}/openapi.json")
        ended = _schemathesis(tmp_path, service, document)
        accepted = _accepted(service)
        logged = service.logged()
    routes = _routes(document)
    assert ended.returncode == 0, ended.stdout[-20_000:]
    assert f"Selected: {len(routes)}/{len(routes)}" in ended.stdout
    assert _cases(ended.stdout) > 500
    # What was generated as valid was taken, not only what was wrong refused.
    assert accepted == {path for path, _ in routes}
    assert "request.failed" not in logged


def _routes(document: dict[str, Any]) -> list[tuple[str, str]]:
    paths = document["paths"].items()
    return [(path, method) for path, item in paths for method in item if method in ("get", "post")]


def _cases(output: str) -> int:
    found = re.search(r"([\d,]+) generated", output)
    assert found is not None, output
    return int(found[1].replace(",", ""))


def _accepted(service: Running) -> set[str]:
    """The routes that answered 2xx, by the service's own metrics."""
    with urlopen(service.metrics, timeout=60) as answer:
        text = answer.read().decode()
    counted = re.findall(
        r'^report_remove_requests_total\{method="(?:GET|POST)",route="([^"]+)",status="20\d"\}',
        text,
        re.MULTILINE,
    )
    return {route.replace("<", "{").replace(">", "}") for route in counted}


def _facts(service: Running) -> dict[str, Any]:
    """An item and a message that the platform really has."""
    key = service.partner["api_key"]
    _report(service.url)
    listing: dict[str, Any] = {}
    until = time.monotonic() + 60
    while not listing.get("messages") and time.monotonic() < until:
        listing = _get(f"{service.url}/v1/partner/messages", key)
    message = listing["messages"][0]
    return {
        "url": service.url,
        "api_key": key,
        "partner_id": service.partner["partner_id"],
        "item_id": message["item_id"],
        "message_id": message["id"],
    }


def _get(url: str, key: str = "") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with urlopen(Request(url, headers=headers), timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _report(url: str) -> None:
    body = {
        "case_key": "ab" * 32,
        "age": {"profile": "declared-v1", "band": "13_15"},
        "items": [{"kind": "photo", "hashes": {"sha256": "0123456789abcdef" * 4}}],
    }
    headers = {"Content-Type": "application/json", "Idempotency-Key": "first-report-of-all"}
    with urlopen(Request(f"{url}/v1/reports", json.dumps(body).encode(), headers), timeout=60):
        pass


def _schemathesis(
    folder: Path, service: Running, document: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    """In a process of its own: its hooks are global, and it changes how warnings are treated."""
    config, schema = folder / "schemathesis.toml", folder / "openapi.json"
    config.write_text(f'hooks = "{Path(__file__).with_name("schemathesis_hooks.py")}"\n')
    schema.write_text(json.dumps(document))
    program = Path(sys.executable).with_name("schemathesis")
    command: list[str | Path] = [
        program,
        "--config-file",
        config,
        "run",
        schema,
        "--url",
        service.url,
    ]
    command += ["--checks", "all", "--max-examples", str(EXAMPLES), "--seed", str(SEED)]
    command += ["--continue-on-failure", "--no-color"]
    env = {
        **os.environ,
        "FACTS_FOR_SCHEMATHESIS": json.dumps(_facts(service)),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=280
    )
