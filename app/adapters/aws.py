"""One client for each AWS service, with the patience of a service that is asked by a device."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import InvalidRegionError, NoRegionError, ProfileNotFound
from botocore.session import Session

if TYPE_CHECKING:
    from botocore.client import BaseClient

# Not boto3: it adds the transfer of files to S3 to what each function loads, and nothing we use.


class PlaceUnknown(Exception):
    """Nothing says usably in which region of AWS to look, or as whom."""


def client(service: str, tries: int = 3) -> Any:
    """A client of that service. Safe from any thread; makes no call before it is used.

    Credentials and another endpoint (AWS_ENDPOINT_URL) are botocore's to find, and the region too
    where AWS_REGION does not name it. Raises PlaceUnknown.
    """
    patience = Config(
        connect_timeout=2,
        read_timeout=5,
        # "standard" waits longer each time, and stops altogether while everything fails.
        retries={"mode": "standard", "total_max_attempts": tries},
        max_pool_connections=50,
        parameter_validation=False,
    )
    region = os.environ.get("AWS_REGION", "").strip() or None  # botocore knows AWS_DEFAULT_REGION
    try:
        made: BaseClient = _session().create_client(service, region, config=patience)
    except NoRegionError:
        raise PlaceUnknown("AWS_REGION is not set, and no AWS profile names a region") from None
    except (InvalidRegionError, ProfileNotFound):
        raise PlaceUnknown("AWS_REGION or AWS_PROFILE cannot be used") from None
    return made


@cache
def _session() -> Session:
    """One for all clients: it reads AWS's own descriptions, which takes longer than a client."""
    return Session()


def code_of(fault: Exception) -> str:
    """The word AWS has for an error, or the name of its class. Never its text: it may quote."""
    response: dict[str, Any] = getattr(fault, "response", {})
    return str(response.get("Error", {}).get("Code") or type(fault).__name__)
