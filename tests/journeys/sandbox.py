"""The sandbox around a service: a development issuer and platforms, introduced to each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from app.client.age import headers as age_headers
from app.client.items import hashes_body
from app.client.service import Service
from hashing.reference import hash_file
from tests.journeys.processes import ROOT, Installation, Processes, Running

PHOTOS = ROOT / "infra/sandbox/photos"
AUDIENCE = "journeys"


@dataclass
class Platform:
    """A sandbox platform in a process of its own."""

    name: str
    running: Running
    enrolment: Path
    partner_id: str = ""
    handed_over: Mapping[str, Any] = field(default_factory=dict)

    def listed(self) -> list[str]:
        """The pictures that its visitors see."""
        return list(Service(self.running.facts["url"]).call("GET", "/")["listed"])


def start_issuer(processes: Processes) -> tuple[Running, Path]:
    """A development issuer, and the file by which a service trusts it."""
    trust = processes.folder / "issuers.toml"
    command = ["-m", "infra.sandbox.issuer", "--issuers-file", str(trust), "--audience", AUDIENCE]
    issuer = processes.start("issuer", *command)
    issuer.wait_ready()
    return issuer, trust


def start_platform(
    processes: Processes, name: str, pictures: Mapping[str, Path], *, sealed: bool
) -> Platform:
    """A platform that holds copies of those pictures, resized and recompressed; videos as given."""
    folder = processes.folder / f"{name}-pictures"
    folder.mkdir()
    for file, source in pictures.items():
        if source.suffix == ".mp4":
            (folder / file).write_bytes(source.read_bytes())
            continue
        with Image.open(source) as picture:
            small = picture.convert("RGB").resize((picture.width * 3 // 4, picture.height * 3 // 4))
            small.save(folder / file, quality=70)
    enrolment = processes.folder / f"{name}.json"
    command = ["-m", "infra.sandbox.platform", "--name", name, "--pictures", str(folder)]
    command += ["--enrolment", str(enrolment), *(["--sealed"] if sealed else [])]
    return Platform(name, processes.start(name, *command), enrolment)


def enrol(installation: Installation, platform: Platform, **more: Any) -> None:
    """Take the platform on and hand over what it needs, as an operator would."""
    facts = platform.running.wait_ready()
    jwks = json.dumps(facts["jwks"]) if facts["jwks"] else None
    scheme = "v1a" if jwks else "v1"
    made = installation.add_platform(
        platform.name, facts["webhook"], scheme=scheme, jwks=jwks, trusted=False, **more
    )
    platform.partner_id, platform.handed_over = str(made["partner_id"]), made
    platform.enrolment.touch(mode=0o600)
    platform.enrolment.write_text(json.dumps(made))
    installation.acting(lambda services: services.manage_endpoints.verify(platform.partner_id))


def hashed(photo: Path) -> dict[str, Any]:
    """The hashes of a photo as a device sends them."""
    return hashes_body(hash_file(photo).entries)


def proof(issuer: Running, service: Service, body: bytes) -> dict[str, str]:
    """The headers that prove an age for that report."""
    profiles: Sequence[Mapping[str, Any]] = service.challenge()["profiles"]
    asked = next(profile for profile in profiles if profile["profile"] == "jwt-age-v1")
    audience = asked["issuers"][0]["audience"]
    wish = {"nonce": asked["nonce"], "audience": audience, "claim": "age_under_18"}
    return age_headers(issuer.facts["url"], wish, "POST", f"{service.url}/v1/reports", body)
