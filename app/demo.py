"""The whole road on one machine: a photo, a report, two platforms, a withdrawal, as a timeline.

Everything runs as separate processes over real HTTP; this one only starts them and plays the
young person.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from app.client.case_code import case_key, new_code
from app.client.items import hashes_body
from app.client.privacy_pass import PROFILE, NoPass
from app.client.service import Refused, Service, Unreachable, report_body
from app.client.shown_pass import from_broker

Ready = Callable[[], dict[str, Any]]

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "infra/sandbox/photos/coffee.jpg"
YEARS = 15  # what the young person tells the broker, which checks nobody
TRUST = """format = 1

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
OTHERS = ("chelsea.jpg", "hubble.jpg", "rocket.jpg")
REGION = "eu-central-1"  # of the emulator
PATIENCE = 20.0  # seconds to wait for any one thing
COLD_PATIENCE = 60.0  # the same where functions start cold


class StepFailed(Exception):
    """A step of the walk did not happen."""


@dataclass(slots=True)
class Walk:
    """Prints what happened, with the time since the start; waits `patience` seconds for a thing."""

    patience: float = PATIENCE
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


@dataclass(slots=True)
class Processes:
    """The processes that were started, each by its own handle, and their output files."""

    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, *command: str, **env: str) -> Callable[[], dict[str, Any]]:
        """Start a process; the function given back waits for its first line, which is JSON."""
        log = self.folder / f"{name}.log"
        process = subprocess.Popen(  # noqa: S603 - this project's own programs
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=log.open("wb"),
            stdin=subprocess.DEVNULL,
            env={**_clean_env(), **env},
            cwd=ROOT,
        )
        self.running.append(process)

        def ready() -> dict[str, Any]:
            line = process.stdout.readline() if process.stdout else b""
            try:
                facts: dict[str, Any] = json.loads(line)
            except ValueError:
                raise StepFailed(f"{name} did not start:\n{log.read_text()}") from None
            return facts

        return ready

    def stop(self) -> None:
        """End them all, in the opposite order."""
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _clean_env() -> dict[str, str]:
    """Neither another service's settings nor somebody's account of AWS."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("REPORT_REMOVE_", "AWS_"))}


def run(*, once: bool, photo: Path | None, port: int, in_cloud: bool = False) -> int:
    """The walk. 0 if every step happened, 1 otherwise.

    `in_cloud` runs the service in the stacks of infra/cloud, on an emulator of AWS.
    """
    with (
        tempfile.TemporaryDirectory(prefix="report-remove-demo-") as name,
        _processes(Path(name)) as processes,
    ):
        try:
            start = _start_in_cloud if in_cloud else _start
            walk = Walk(COLD_PATIENCE if in_cloud else PATIENCE)
            addresses = _walk(walk, processes, photo or PHOTO, start, port)
        except (StepFailed, Refused, Unreachable, NoPass) as fault:
            click.echo(f"The walk stopped: {fault}", err=True)
            click.echo(_last_words(Path(name) / "emulator.log"), err=True, nl=False)
            return 1
        for line in addresses:
            click.echo(line)
        if not once:
            _stay_up(processes)
    return 0


Start = Callable[[Walk, Processes, Path, int], tuple[Service, dict[str, str], dict[str, str]]]


def _last_words(log: Path) -> str:
    """What the emulator said of the functions, if there was one."""
    lines = log.read_text(errors="replace").splitlines(keepends=True) if log.exists() else []
    return "".join(lines[-15:])


@contextmanager
def _processes(folder: Path) -> Iterator[Processes]:
    processes = Processes(folder)
    try:
        yield processes
    finally:
        processes.stop()


def _stay_up(processes: Processes) -> None:
    click.echo("\nStaying up. Stop with Ctrl-C.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while all(process.poll() is None for process in processes.running):
            time.sleep(0.5)
        click.echo("A process ended by itself.", err=True)
    except KeyboardInterrupt:
        click.echo("\nStopping.")


def _walk(walk: Walk, processes: Processes, photo: Path, start: Start, port: int) -> list[str]:
    service, platforms, facts = start(walk, processes, photo, port)
    challenge = service.challenge()

    hashes, kind = _hash(photo)
    best = hashes["pdq"]["original"]
    walk.tell(
        f"The photo is hashed here: {_number(hashes)} hashes, PDQ quality {best['quality']}. "
        "It stays where it is."
    )

    code = new_code()
    key = case_key(code, challenge["case_key"])
    body = report_body(key, PROFILE, "13_15", [{"kind": kind, "hashes": hashes}])
    proof = from_broker(facts["broker"], challenge, YEARS)
    walk.tell("A pass says 'under 18' and nothing else. The age broker signed it blind.")
    service.send("/v1/reports", body, proof)
    walk.tell(f"The report is in: {len(body)} bytes left the device, no picture among them.")

    case = walk.until(
        "both platforms answer",
        lambda: service.open(key),
        lambda case: _outcomes(case) == {"Picnic": "taken_down", "Postcard": "not_found"},
    )
    for row in case["items"][0]["platforms"]:
        walk.tell(f"The case, opened with its code, says of {row['name']}: {row['words']}.")
    _check_listed(walk, platforms)

    service.withdraw(key)
    walk.tell("The young person takes the case back.")
    walk.until(
        "both platforms forget",
        lambda: service.open(key),
        lambda case: set(_outcomes(case).values()) == {"forgotten"} and case["state"] == "scrubbed",
    )
    walk.tell("Both platforms say that they forgot it, and our hashes are erased.")
    return [
        "",
        f"For young people {service.url}/",
        f"API              {service.url}",
        f"Documentation    {service.url}/docs",
        facts["beside"],
        *(f"{name + ' (platform)':16} {url}" for name, url in platforms.items()),
        f"Age broker       {facts['broker']} (for development: it checks nobody)",
    ]


def _start(
    walk: Walk, processes: Processes, photo: Path, port: int
) -> tuple[Service, dict[str, str], dict[str, str]]:
    """Start broker, platforms and service side by side, and introduce them to each other."""
    folder = processes.folder
    port = port or _free_port()
    url = f"http://127.0.0.1:{port}"
    broker, starting = _start_others(processes, photo, url)
    broker_url, issuers = _trusted(folder, broker, with_page=True)
    data = {
        "REPORT_REMOVE_ENVIRONMENT": "development",
        "REPORT_REMOVE_DATA_DIR": str(folder / "data"),
        "REPORT_REMOVE_ALLOW_LOOPBACK_PARTNERS": "yes",
        "REPORT_REMOVE_AGE_ISSUERS_FILE": str(issuers),
        "REPORT_REMOVE_LIMIT_CASE": "100000 per hour",  # we look many times while we wait
    }
    serve = processes.start(
        "service",
        "-m",
        "app.cli",
        "serve",
        "--json",
        **data,
        REPORT_REMOVE_PORT=str(port),
        REPORT_REMOVE_METRICS_PORT="0",
        REPORT_REMOVE_PUBLIC_URL=url,
    )
    platforms = {name: ready() for name, ready in starting.items()}
    _enrol(folder, {**data, "REPORT_REMOVE_PUBLIC_URL": url}, platforms)
    facts = serve()
    walk.tell("The service, two platforms and an age broker are up.")
    addresses = {name: platform["url"] for name, platform in platforms.items()}
    beside = f"Metrics          {facts['metrics']}"
    return Service(url), addresses, {"broker": broker_url, "beside": beside}


def _start_others(
    processes: Processes, photo: Path, page: str = "https://young.example"
) -> tuple[Ready, dict[str, Ready]]:
    """The age broker, which sends passes back to `page`, and the platforms."""
    folder = processes.folder
    _pictures(folder, photo)
    broker = processes.start(
        "broker",
        *("-m", "infra.broker", "develop", "--folder", str(folder / "broker")),
        *("--port", str(_free_port()), "--returns", page),
    )
    starting = {
        name: processes.start(
            name,
            "-m",
            "infra.sandbox.platform",
            "--name",
            name,
            "--pictures",
            str(folder / name),
            "--enrolment",
            str(folder / f"{name}.json"),
            *more,
        )
        for name, more in (("Picnic", ["--sealed"]), ("Postcard", []))
    }
    return broker, starting


def _trusted(folder: Path, broker: Ready, *, with_page: bool = False) -> tuple[str, Path]:
    """The broker's address, and the issuer file by which the service takes its passes.

    Its page is opened under another name than the service's: ports of one host share cookies.
    """
    url = str(broker()["url"])
    found = Service(url).call("GET", "/.well-known/private-token-issuer-directory")
    keys = {key["predicate"]: key["token-key"] for key in found["token-keys"]}
    page = f"{url}/pass".replace("127.0.0.1", "localhost")
    issuers = folder / "issuers.toml"
    issuers.write_text(
        TRUST.format(
            pass_url=f'pass_url = "{page}"\n' if with_page else "",
            spki=keys["under18-document"].rstrip("="),
        )
    )
    return url, issuers


def _start_in_cloud(
    walk: Walk, processes: Processes, photo: Path, _port: int
) -> tuple[Service, dict[str, str], dict[str, str]]:
    """The same, with the service in its stacks: deployed, keyed and enrolled by its commands."""
    folder = processes.folder
    emulator = processes.start(
        "emulator", "-m", "infra.cloud.emulator", "--auth", "--folder", str(folder)
    )
    broker, starting = _start_others(processes, photo)
    broker_url, issuers = _trusted(folder, broker)
    endpoint = emulator()["endpoint"]
    walk.tell("An emulator of AWS is up and enforces signatures and policies.")
    aws = _aws_profiles(folder, endpoint)
    outputs = _deploy(walk, {**aws, "AWS_PROFILE": "account"}, issuers)
    _append_role(folder, outputs["OperatorRoleArn"])
    operator = {**aws, "AWS_PROFILE": "operator"}
    data = {
        "REPORT_REMOVE_ENVIRONMENT": "development",
        "REPORT_REMOVE_ALLOW_LOOPBACK_PARTNERS": "yes",
        "REPORT_REMOVE_DATA_DIR": str(folder / "data"),
        "REPORT_REMOVE_STORE": "dynamodb",
        "REPORT_REMOVE_TABLE": outputs["TableName"],
        "REPORT_REMOVE_KEYS": "kms",
        "REPORT_REMOVE_KEYS_SECRET": outputs["RootKeysName"],
        "REPORT_REMOVE_KMS_KEY": outputs["SealingKeyArn"],
        "REPORT_REMOVE_PUBLIC_URL": outputs["PublicUrl"],
        "REPORT_REMOVE_AGE_ISSUERS_FILE": str(issuers),
    }
    _command({**operator, **data}, "keys", "create")
    walk.tell("The operator's role made the root keys: wrapped by KMS, kept in Secrets Manager.")
    platforms = {name: ready() for name, ready in starting.items()}
    os.environ.update(operator)
    _enrol(folder, data, platforms)
    walk.tell("Two platforms are enrolled, by the same role.")
    addresses = {name: platform["url"] for name, platform in platforms.items()}
    beside = f"AWS              {endpoint} (region {REGION}, any key)"
    return Service(outputs["PublicUrl"]), addresses, {"broker": broker_url, "beside": beside}


def _deploy(walk: Walk, env: Mapping[str, str], issuers: Path) -> dict[str, str]:
    """As `report-remove cloud up` does it anywhere, with what only one machine needs."""
    chosen = {
        "Environment": "development",
        "AllowLoopbackPartners": "yes",
        "LimitCase": "100000 per hour",  # we look many times while we wait
    }
    settings = [f"--set={name}={value}" for name, value in chosen.items()]
    told = _command(env, "cloud", "up", "--json", "--issuers-file", str(issuers), *settings)
    outputs: dict[str, str] = json.loads(told)
    walk.tell("Four stacks are up: table, keys, queues, functions with a role each, alarms.")
    return outputs


def _command(env: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(  # noqa: S603 - this project's own command
        [sys.executable, "-m", "app.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**_clean_env(), **env},
        cwd=ROOT,
    )
    if done.returncode:
        raise StepFailed(f"report-remove {' '.join(words[:2])}\n{done.stderr}")
    return done.stdout


def _aws_profiles(folder: Path, endpoint: str) -> dict[str, str]:
    """The environment of AWS commands: the account itself, whose keys the emulator knows."""
    file = folder / "aws-config"
    lines = ["[profile account]", f"region = {REGION}"]
    lines += ["aws_access_key_id = test", "aws_secret_access_key = test"]
    file.write_text("\n".join(lines) + "\n")
    return {
        "AWS_CONFIG_FILE": str(file),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _append_role(folder: Path, role: str) -> None:
    """A profile that takes the operator's role, as a person would write it."""
    lines = ["[profile operator]", f"region = {REGION}", f"role_arn = {role}"]
    with (folder / "aws-config").open("a") as file:
        file.write("\n".join([*lines, "source_profile = account"]) + "\n")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def _enrol(folder: Path, env: Mapping[str, str], platforms: Mapping[str, dict[str, Any]]) -> None:
    """As an operator would: add each platform, hand over what it needs in a private file."""
    from app.bootstrap import build
    from app.settings import Settings

    runtime = build(Settings.from_env(env))
    try:
        for name, platform in platforms.items():
            scheme = "v1a" if platform["jwks"] else "v1"
            jwks = json.dumps(platform["jwks"]) if platform["jwks"] else None
            made = runtime.services.manage_partners.add(
                name, platform["webhook"], scheme, "uk-osa-48h", jwks, takes_location=False
            )
            file = folder / f"{name}.json"
            file.touch(mode=0o600)
            file.write_text(
                json.dumps(
                    {
                        "service_url": env["REPORT_REMOVE_PUBLIC_URL"],
                        "partner_id": made["partner_id"],
                        "api_key": made["api_key"],
                        "keys": [made["webhook_key"]],
                        "sealing_key": made["sealing_key"],
                    }
                )
            )
            runtime.services.manage_endpoints.verify(str(made["partner_id"]))
    finally:
        runtime.close()


def _number(hashes: Mapping[str, Any]) -> int:
    return sum(len(of) if isinstance(of, dict) else 1 for of in hashes.values())


def _hash(photo: Path) -> tuple[dict[str, Any], str]:
    from hashing.errors import HashError
    from hashing.reference import hash_file

    try:
        hashed = hash_file(photo)
    except HashError as fault:
        raise StepFailed(str(fault)) from None
    return hashes_body(hashed.entries), hashed.kind


def _outcomes(case: Mapping[str, Any]) -> dict[str, str]:
    return {row["name"]: row["outcome"] for row in case["items"][0]["platforms"]}


def _check_listed(walk: Walk, platforms: Mapping[str, str]) -> None:
    """The platform itself no longer shows the picture: not only a word in our database."""
    listed = Service(platforms["Picnic"]).call("GET", "/")["listed"]
    if "a-copy.jpg" in listed:
        raise StepFailed("Picnic still lists the picture")
    walk.tell(f"Picnic lists {len(listed)} other pictures and no longer the copy.")
