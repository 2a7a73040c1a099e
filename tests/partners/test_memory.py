"""The store that the delivery tests stand on keeps the contract that real stores keep."""

from collections.abc import Callable

import pytest

from tests.contract.messages_contract import CHECKS, Rig
from tests.partners.memory import MemoryMessages


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_messages_in_memory(check: Callable[[Rig], None]) -> None:
    check(MemoryMessages())
