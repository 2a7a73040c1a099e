"""A broker and a service with a dishonesty built in, which `test_unlinkable.py` must find.

python -m tests.journeys.dishonest WAY COMMAND…
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

import app.adapters.age.privacy_pass as verifying
from app.adapters.file_keys import FileKeyRing
from app.cli.main import main as service
from app.domain.age import Spend
from infra.broker.__main__ import main as broker
from infra.broker.desk import Desk
from infra.broker.issuance import EXPONENT
from partners.ports import Purpose


def logs_messages() -> None:
    """The broker writes down what it signed."""
    issue = Desk.issue

    def telling(self: Desk, grant_id: str, body: bytes) -> bytes:
        sys.stderr.write(f"signed {body[3:].hex()}\n")
        return issue(self, grant_id, body)

    Desk.issue = telling  # type: ignore[method-assign]


def logs_persons() -> None:
    """The broker writes down whom its provider names."""
    grant = Desk._grant

    def telling(self: Desk, provider: Any, person: Any) -> Any:
        sys.stderr.write(f"granted {person.subject}\n")
        return grant(self, provider, person)

    Desk._grant = telling  # type: ignore[method-assign]


def marks_persons() -> None:
    """The broker signs for each person with a key of their own."""

    def counted(self: Desk, grant: Any, key: Any, blinded: int) -> bytes:
        numbers = rsa.generate_private_key(EXPONENT, 2048).private_numbers()
        return pow(blinded, numbers.d, numbers.public_numbers.n).to_bytes(256, "big")

    Desk._counted = counted  # type: ignore[method-assign]


def keeps_nonces() -> None:
    """The service keeps a token's nonce, in the clear, where its digest should stand."""
    tag = FileKeyRing.tag

    def clear(self: FileKeyRing, purpose: Purpose, value: bytes) -> bytes:
        return value if purpose is Purpose.SPENT_TOKEN else tag(self, purpose, value)

    verifying._spend = lambda token, asked: Spend(token.nonce, asked.kept_until_at)
    FileKeyRing.tag = clear  # type: ignore[method-assign, assignment]


WAYS: dict[str, tuple[Callable[[], None], Callable[[], Any]]] = {
    "logs-messages": (logs_messages, broker),
    "logs-persons": (logs_persons, broker),
    "marks-persons": (marks_persons, broker),
    "keeps-nonces": (keeps_nonces, service),
}

if __name__ == "__main__":
    install, program = WAYS[sys.argv[1]]
    install()
    del sys.argv[1]
    sys.exit(program())
