"""One client for each AWS service, with the patience of a service that is asked by a device."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from botocore.client import BaseClient


def client(service: str, tries: int = 3) -> Any:
    """A client of that service. Safe from any thread; makes no call before it is used.

    Region, credentials and another endpoint (AWS_ENDPOINT_URL) are botocore's to find.
    """
    patience = Config(
        connect_timeout=2,
        read_timeout=5,
        # "standard" waits longer each time, and stops altogether while everything fails.
        retries={"mode": "standard", "total_max_attempts": tries},
        max_pool_connections=50,
        parameter_validation=False,
    )
    made: BaseClient = _session().client(service, config=patience)  # type: ignore[call-overload]
    return made


@cache
def _session() -> boto3.session.Session:
    """One for all clients: it reads AWS's own descriptions, which takes longer than a client."""
    return boto3.session.Session()


def code_of(fault: Exception) -> str:
    """The word AWS has for an error, or the name of its class where nothing came back."""
    response: dict[str, Any] = getattr(fault, "response", {})
    return str(response.get("Error", {}).get("Code", type(fault).__name__))
