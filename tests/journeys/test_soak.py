"""A short soak: a worker killed thrice while partners fail at random loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.soak import PARTNERS, soak

PACE = 40.0  # times as fast as the real clock


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_message_is_delivered_or_due_after_three_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)  # set by the soak, put back in the end
    monkeypatch.setattr("bench.soak.QUIET", 20.0 * PACE)  # a busy machine may be still for a while
    messages = 100 * PARTNERS
    found = soak(tmp_path, messages, kills=3, pace=PACE)
    assert found.lost == 0
    assert found.other == frozenset()
    assert found.unknown == 0
    assert len(found.delivered) + len(found.due) == messages
    # The run would show nothing if nothing had failed and nothing had been delivered.
    assert found.posts.total() > found.receipts.total()
    assert len(found.delivered) > 0.98 * messages
