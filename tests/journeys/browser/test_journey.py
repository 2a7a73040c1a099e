"""From a photo to 'Taken down' and back, by clicking in a real browser."""

from __future__ import annotations

import pytest

from tests.journeys.browser import way
from tests.journeys.browser.world import PHOTO, World

pytestmark = pytest.mark.browser

BOTH = {"Picnic": "taken_down", "Postcard": "not_found"}
FORGOTTEN = {"Picnic": "forgotten", "Postcard": "forgotten"}


def test_a_photo_is_taken_down_and_the_case_taken_back(stage: World) -> None:
    page = stage.page()
    errors = way.errors_of(page)
    code = way.report(page, PHOTO)
    assert len(code) == 16
    way.until_outcomes(page, BOTH)
    way.withdraw(page)
    way.until_outcomes(page, FORGOTTEN)
    assert errors == []
