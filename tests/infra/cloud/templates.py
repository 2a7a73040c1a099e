"""The templates as data, and the programs that judge them."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[3]
CLOUD = ROOT / "infra/cloud"
RULES = CLOUD / "rules"
ALL = sorted(CLOUD.glob("*.yaml"))
LINT = ROOT / ".venv-ministack/bin/cfn-lint"
_PUBLISHED = Path(__file__).parent / "guard/node_modules/@cdklabs/cdk-validator-cfnguard/bin"
_SYSTEM = "macos" if sys.platform == "darwin" else "ubuntu"
_MACHINE = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
GUARD = _PUBLISHED / _SYSTEM / _MACHINE / "cfn-guard"


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Short forms such as !Ref become the long ones, which JSON can say."""


def _long(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long)


@lru_cache
def _text(name: str) -> str:
    return json.dumps(yaml.load((CLOUD / f"{name}.yaml").read_text(), _Loader))  # noqa: S506


def load(name: str) -> dict[str, Any]:
    """The template `name`.yaml, a new copy."""
    template: dict[str, Any] = json.loads(_text(name))
    return template


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The resources of a type, by name."""
    found = template["Resources"].items()
    return {name: resource for name, resource in found if resource["Type"] == kind}


def judged(*templates: Path) -> dict[str, set[str]]:
    """The names of our rules that each template breaks, by file name.

    cfn-guard goes on when it cannot read a rule file, so what it says of errors is looked at.
    """
    command = [str(GUARD), "validate", "--rules", str(RULES), "--structured"]
    command += ["--output-format", "json", "--show-summary", "none"]
    for template in templates:
        command += ["--data", str(template)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode in (0, 19), done.stderr
    assert "Error" not in done.stderr, done.stderr
    return {
        Path(report["name"]).name: {rule["Rule"]["name"] for rule in report["not_compliant"]}
        for report in json.loads(done.stdout)
    }
