"""The version of this code. pyproject.toml says the same, which a test holds."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
