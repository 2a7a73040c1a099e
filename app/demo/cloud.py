"""The scene with the service in the stacks of infra/cloud, on an emulator of AWS: `./run --cloud`.

It is deployed, keyed and told of the platforms by its own commands, as a person would.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.client.service import Service
from app.demo.others import POLICY, hand_over, start_others, trusted
from app.demo.processes import Processes, command
from app.demo.walk import Scene, Walk

PATIENCE: Final = 60.0  # seconds to wait for any one thing: functions start cold
_REGION: Final = "eu-central-1"  # of the emulator
_AWS_CONFIG: Final = "aws-config"


def start(walk: Walk, processes: Processes, photo: Path) -> Scene:
    """Start broker, platforms and emulator, bring the stacks up, and introduce them all."""
    folder = processes.folder
    emulator = processes.start(
        "emulator", "-m", "infra.cloud.emulator", "--auth", "--folder", str(folder)
    )
    broker, starting = start_others(processes, photo)
    broker_url, issuers = trusted(folder, broker)
    endpoint = emulator()["endpoint"]
    walk.tell("An emulator of AWS is up and enforces signatures and policies.")
    aws = _aws_profiles(folder, endpoint)
    outputs = _deploy({**aws, "AWS_PROFILE": "account"}, issuers)
    walk.tell("Four stacks are up: table, keys, queues, functions with a role each, alarms.")
    _append_role(folder, outputs["OperatorRoleArn"])
    operator = {**aws, "AWS_PROFILE": "operator", **_settings(folder, outputs, issuers)}
    command(operator, "keys", "create")
    walk.tell("The operator's role made the root keys: wrapped by KMS, kept in Secrets Manager.")
    platforms = {name: ready() for name, ready in starting.items()}
    for name, platform in platforms.items():
        _enrol(folder, operator, name, platform)
    walk.tell("Two platforms are enrolled, by the same role.")
    return Scene(
        Service(outputs["PublicUrl"]),
        {name: platform["url"] for name, platform in platforms.items()},
        broker_url,
        f"AWS              {endpoint} (region {_REGION}, any key)",
    )


def _deploy(env: Mapping[str, str], issuers: Path) -> dict[str, str]:
    """As `report-remove cloud up` does it anywhere, with what only one machine needs."""
    chosen = {
        "Environment": "development",
        "AllowLoopbackPartners": "yes",
        "LimitCase": "100000 per hour",  # we look many times while we wait
    }
    settings = [f"--set={name}={value}" for name, value in chosen.items()]
    told = command(env, "cloud", "up", "--json", "--issuers-file", str(issuers), *settings)
    outputs: dict[str, str] = json.loads(told)
    return outputs


def _settings(folder: Path, outputs: Mapping[str, str], issuers: Path) -> dict[str, str]:
    """Those of an operator's commands."""
    return {
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


def _aws_profiles(folder: Path, endpoint: str) -> dict[str, str]:
    """The environment of AWS commands: the account itself, whose keys the emulator knows."""
    file = folder / _AWS_CONFIG
    lines = ["[profile account]", f"region = {_REGION}"]
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
    lines = ["[profile operator]", f"region = {_REGION}", f"role_arn = {role}"]
    with (folder / _AWS_CONFIG).open("a") as file:
        file.write("\n".join([*lines, "source_profile = account"]) + "\n")


def _enrol(folder: Path, env: Mapping[str, str], name: str, platform: Mapping[str, Any]) -> None:
    """Add a platform, hand over what is printed, and have its webhook answer."""
    wish = ["--webhook", platform["webhook"], "--policy", POLICY, "--unverified"]
    if platform["jwks"]:
        file = folder / f"{name}-keys.json"
        file.write_text(json.dumps(platform["jwks"]))
        wish += ["--scheme", "v1a", "--jwks", str(file)]
    else:
        wish += ["--scheme", "v1"]
    made = json.loads(command(env, "partner", "add", name, *wish, "--json"))
    hand_over(folder, name, made)
    command(env, "partner", "verify", made["partner_id"])
