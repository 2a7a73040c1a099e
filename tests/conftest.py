"""How patient all tests are: a stalled machine is no fault of what is tested."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def pytest_configure() -> None:
    """By default Hypothesis fails an example that takes longer than 200 ms, for whatever reason."""
    settings.register_profile(
        "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("patient")
