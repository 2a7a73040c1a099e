"""Requests to a provider: short, small, to the address that was configured and nowhere else."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter

MOST_BYTES = 65_536
TIMEOUT = (5.0, 10.0)  # seconds to connect, and between two pieces of the answer


class Unusable(Exception):
    """The provider's answer cannot be used."""


class Narrow(HTTPAdapter):
    """Gives every request a time limit, follows nothing, and reads no more than MOST_BYTES."""

    def send(
        self, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> requests.Response:
        options |= {"stream": True, "timeout": TIMEOUT}
        response = super().send(request, *args, **options)
        with response:
            if response.is_redirect:
                raise Unusable
            body = b"".join(_pieces(response))
        response._content = body  # noqa: SLF001 - the session would read on without a limit
        return response


def narrow(session: requests.Session) -> None:
    """Make a session one that heeds neither environment, netrc nor redirects."""
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, Narrow(max_retries=0))


def json_object(response: requests.Response) -> dict[str, Any]:
    """The JSON object of a 200 or 201. Raises Unusable."""
    if response.status_code not in (200, 201):
        raise Unusable
    try:
        members = response.json()
    except (ValueError, RecursionError):
        raise Unusable from None
    if not isinstance(members, dict):
        raise Unusable
    return members


def _pieces(response: requests.Response) -> list[bytes]:
    pieces: list[bytes] = []
    size = 0
    for piece in response.iter_content(8192):
        size += len(piece)
        if size > MOST_BYTES:
            raise Unusable
        pieces.append(piece)
    return pieces
