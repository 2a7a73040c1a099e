"""Playing the young person, step by step, against a service and platforms that are started first.

Everything runs as separate processes over real HTTP; this one only starts them and walks.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from app.client.case_code import case_key, new_code
from app.client.items import hashes_body
from app.client.privacy_pass import PROFILE, NoPass
from app.client.service import Refused, Service, Unreachable, report_body
from app.client.shown_pass import from_broker
from app.demo.others import PHOTO
from app.demo.processes import Processes, StepFailed, processes_in

_YEARS: Final = 15  # what the young person tells the broker, which checks nobody
_PATIENCE: Final = 20.0  # seconds to wait for any one thing


@dataclass(slots=True)
class Walk:
    """Prints what happened, with the time since the start; waits `patience` seconds for a thing."""

    patience: float
    began: float = field(default_factory=time.monotonic)

    def tell(self, what: str) -> None:
        """One line of the timeline."""
        click.echo(f"{time.monotonic() - self.began:6.2f} s  {what}")

    def until(
        self,
        what: str,
        look: Callable[[], dict[str, Any]],
        holds: Callable[[dict[str, Any]], bool],
    ) -> dict[str, Any]:
        """What `look` gives once it holds. Raises StepFailed."""
        give_up_at = time.monotonic() + self.patience
        pause = 0.05  # and ever longer: looking takes the processor from what it looks for
        while not holds(found := look()):
            if time.monotonic() > give_up_at:
                raise StepFailed(f"waited {self.patience:.0f} s until {what}")
            time.sleep(pause)
            pause = min(1.0, pause * 1.3)
        return found


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the walk takes place: everything is up and introduced to each other.

    `platforms` are their addresses by name; `beside` is a line on what else there is to look at.
    """

    service: Service
    platforms: Mapping[str, str]
    broker: str
    beside: str


Start = Callable[[Walk, Processes, Path], Scene]
"""Starts everything for that photo. Raises StepFailed."""


def run(start: Start, *, once: bool, photo: Path | None, patience: float = _PATIENCE) -> int:
    """The walk, then staying up unless `once`. 0 if every step happened, 1 otherwise."""
    with (
        tempfile.TemporaryDirectory(prefix="report-remove-demo-") as name,
        processes_in(Path(name)) as processes,
    ):
        photo = photo or PHOTO
        walk = Walk(patience)
        try:
            scene = start(walk, processes, photo)
            _walk(walk, scene, photo)
        except (StepFailed, Refused, Unreachable, NoPass) as fault:
            click.echo(f"The walk stopped: {fault}", err=True)
            click.echo(processes.last_words("emulator"), err=True, nl=False)
            return 1
        for line in _addresses(scene):
            click.echo(line)
        if not once:
            _stay_up(processes)
    return 0


def _stay_up(processes: Processes) -> None:
    click.echo("\nStaying up. Stop with Ctrl-C.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while processes.all_run():
            time.sleep(0.5)
        click.echo("A process ended by itself.", err=True)
    except KeyboardInterrupt:
        click.echo("\nStopping.")


def _walk(walk: Walk, scene: Scene, photo: Path) -> None:
    service = scene.service
    key = _report(walk, scene, photo)
    case = walk.until(
        "both platforms answer",
        lambda: service.open(key),
        lambda case: _outcomes(case) == {"Picnic": "taken_down", "Postcard": "not_found"},
    )
    for row in case["items"][0]["platforms"]:
        walk.tell(f"The case, opened with its code, says of {row['name']}: {row['words']}.")
    _check_listed(walk, scene)

    service.withdraw(key)
    walk.tell("The young person takes the case back.")
    walk.until(
        "both platforms forget",
        lambda: service.open(key),
        lambda case: set(_outcomes(case).values()) == {"forgotten"} and case["state"] == "scrubbed",
    )
    walk.tell("Both platforms say that they forgot it, and our hashes are erased.")


def _report(walk: Walk, scene: Scene, photo: Path) -> str:
    """Hash the photo, get a pass, report. The key of the case."""
    challenge = scene.service.challenge()
    hashes, kind = _hash(photo)
    best = hashes["pdq"]["original"]
    walk.tell(
        f"The photo is hashed here: {_number(hashes)} hashes, PDQ quality {best['quality']}. "
        "It stays where it is."
    )
    key = case_key(new_code(), challenge["case_key"])
    body = report_body(key, PROFILE, "13_15", [{"kind": kind, "hashes": hashes}])
    proof = from_broker(scene.broker, challenge, _YEARS)
    walk.tell("A pass says 'under 18' and nothing else. The age broker signed it blind.")
    scene.service.send("/v1/reports", body, proof)
    walk.tell(f"The report is in: {len(body)} bytes left the device, no picture among them.")
    return key


def _hash(photo: Path) -> tuple[dict[str, Any], str]:
    from hashing.errors import HashError
    from hashing.reference import hash_file

    try:
        hashed = hash_file(photo)
    except HashError as fault:
        raise StepFailed(str(fault)) from None
    return hashes_body(hashed.entries), hashed.kind


def _number(hashes: Mapping[str, Any]) -> int:
    return sum(len(of) if isinstance(of, dict) else 1 for of in hashes.values())


def _outcomes(case: Mapping[str, Any]) -> dict[str, str]:
    return {row["name"]: row["outcome"] for row in case["items"][0]["platforms"]}


def _check_listed(walk: Walk, scene: Scene) -> None:
    """The platform itself no longer shows the picture: not only a word in our database."""
    listed = Service(scene.platforms["Picnic"]).call("GET", "/")["listed"]
    if "a-copy.jpg" in listed:
        raise StepFailed("Picnic still lists the picture")
    walk.tell(f"Picnic lists {len(listed)} other pictures and no longer the copy.")


def _addresses(scene: Scene) -> list[str]:
    url = scene.service.url
    return [
        "",
        f"For young people {url}/",
        f"API              {url}",
        f"Documentation    {url}/docs",
        scene.beside,
        *(f"{name + ' (platform)':16} {at}" for name, at in scene.platforms.items()),
        f"Age broker       {scene.broker} (for development: it checks nobody)",
    ]
