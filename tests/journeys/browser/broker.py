"""A real age broker for development in a process of its own, and a service that trusts it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.demo.processes import free_port
from tests.journeys.processes import Installation, Processes, Running

PREDICATE = "under18-document"
PROFILES = "pp-under18-v1,declared-v1"
TRUST = """format = 1

[[issuer]]
profile = "pp-under18-v1"
id = "under18-document.broker.example"
audience = "young.example"
basis = "verified_document"
pass_url = "{pass_url}"
valid_from_at = 2026-01-01T00:00:00Z
valid_until_at = 2036-01-01T00:00:00Z

[[issuer.keys]]
spki = "{spki}"
"""


def start_broker(processes: Processes, returns: Sequence[str]) -> Running:
    """A broker that checks nobody and lets passes go to those origins."""
    folder = processes.folder / "broker"
    command = ["-m", "infra.broker", "develop", "--folder", str(folder), "--port", str(free_port())]
    for origin in returns:
        command += ["--returns", origin]
    broker = processes.start("broker", *command)
    broker.wait_ready()
    return broker


def directory(broker_url: str) -> dict[str, Any]:
    """The broker's issuer directory."""
    address = f"{broker_url}/.well-known/private-token-issuer-directory"
    with urllib.request.urlopen(address, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def key_of(broker_url: str) -> str:
    """The key whose signature says that a document showed it; base64url of its SPKI."""
    keys = directory(broker_url)["token-keys"]
    return next(str(key["token-key"]) for key in keys if key["predicate"] == PREDICATE)


def write_trust(path: Path, broker_url: str, pass_url: str | None = None) -> None:
    """The issuer file by which a service takes this broker's passes.

    The page is opened under another host's name than the service's, as it would be: the ports of
    one host share their cookies.
    """
    spki = key_of(broker_url).rstrip("=")
    page = (pass_url or f"{broker_url}/pass").replace("127.0.0.1", "localhost")
    path.write_text(TRUST.format(pass_url=page, spki=spki))


def trust_broker(installation: Installation, broker: Running) -> None:
    """Have a service that is not started yet prefer the broker's passes to a bare word."""
    path = installation.processes.folder / "issuers.toml"
    write_trust(path, broker.facts["url"])
    installation.settings |= {"AGE_PROFILES": PROFILES, "AGE_ISSUERS_FILE": str(path)}
