"""Wrapped root keys for tests: a secret and a KMS key of their own on the session's emulator."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from app.adapters.kms_keys import KeyChest, KmsKeyRing
from infra.cloud.emulator import REGION, ROOT
from tests.contract.cloud import endpoint


@dataclass(frozen=True, slots=True)
class Chest:
    """A chest with its keys made, and the KMS key that wraps them."""

    chest: KeyChest
    kms_key: str
    kms: Any


@cache
def a_client(service: str) -> Any:
    """A client of the emulator, whatever the environment says; nobody may put a handler on it."""
    return _a_client(service)


def _a_client(service: str) -> Any:
    return _session().client(service, endpoint_url=endpoint())  # type: ignore[call-overload]


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session(
        aws_access_key_id=ROOT, aws_secret_access_key=ROOT, region_name=REGION
    )


def a_chest() -> Chest:
    """A new one."""
    kms = _a_client("kms")
    kms_key = kms.create_key()["KeyMetadata"]["KeyId"]
    made = KeyChest(kms, _a_client("secretsmanager"), f"keys-{secrets.token_hex(6)}")
    made.create(kms_key)
    return Chest(made, kms_key, kms)


def a_ring(_: Path) -> KmsKeyRing:
    """A ring over a new chest."""
    return KmsKeyRing(a_chest().chest)
