"""Everybody but the service: the age broker, which it is to trust, and two platforms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.client.service import Service
from app.demo.processes import ROOT, Processes, Ready, free_port

PHOTO: Final = ROOT / "infra/sandbox/photos/coffee.jpg"
OTHERS: Final = ("chelsea.jpg", "hubble.jpg", "rocket.jpg")
POLICY: Final = "uk-osa-48h"
_TRUST: Final = """format = 1

[[issuer]]
profile = "pp-under18-v1"
id = "under18-document.broker.example"
audience = "young.example"
basis = "verified_document"
{pass_url}valid_from_at = 2026-01-01T00:00:00Z
valid_until_at = 2036-01-01T00:00:00Z

[[issuer.keys]]
spki = "{spki}"
"""


def start_others(
    processes: Processes, photo: Path, page: str = "https://young.example"
) -> tuple[Ready, dict[str, Ready]]:
    """The age broker, which sends passes back to `page`, and the platforms by name."""
    folder = processes.folder
    _pictures(folder, photo)
    broker = processes.start(
        "broker",
        *("-m", "infra.broker", "develop", "--folder", str(folder / "broker")),
        *("--port", str(free_port()), "--returns", page),
    )
    platforms = {
        name: processes.start(
            name,
            *("-m", "infra.sandbox.platform", "--name", name),
            *("--pictures", str(folder / name), "--enrolment", str(_enrolment(folder, name))),
            *more,
        )
        for name, more in (("Picnic", ["--sealed"]), ("Postcard", []))
    }
    return broker, platforms


def trusted(folder: Path, broker: Ready, *, with_page: bool = False) -> tuple[str, Path]:
    """The broker's address, and the issuer file by which the service takes its passes.

    Its page is opened under another name than the service's: ports of one host share cookies.
    """
    url = str(broker()["url"])
    found = Service(url).call("GET", "/.well-known/private-token-issuer-directory")
    keys = {key["predicate"]: key["token-key"] for key in found["token-keys"]}
    page = f"{url}/pass".replace("127.0.0.1", "localhost")
    issuers = folder / "issuers.toml"
    issuers.write_text(
        _TRUST.format(
            pass_url=f'pass_url = "{page}"\n' if with_page else "",
            spki=keys["under18-document"].rstrip("="),
        )
    )
    return url, issuers


def hand_over(folder: Path, name: str, made: Mapping[str, Any]) -> None:
    """Give a platform what it was enrolled with, in a private file."""
    file = _enrolment(folder, name)
    file.touch(mode=0o600)
    file.write_text(json.dumps(made))


def _enrolment(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _pictures(folder: Path, photo: Path) -> None:
    """Picnic holds the photo, resized and recompressed by whoever spread it; Postcard does not."""
    from PIL import Image

    for name in ("Picnic", "Postcard"):
        (folder / name).mkdir()
        for other in OTHERS:
            (folder / name / other).write_bytes((PHOTO.parent / other).read_bytes())
    with Image.open(photo) as picture:
        small = picture.convert("RGB").resize((picture.width * 2 // 3, picture.height * 2 // 3))
        small.save(folder / "Picnic" / "a-copy.jpg", quality=60)
