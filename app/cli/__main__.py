"""`python -m app.cli`, the same as `report-remove`."""

from __future__ import annotations

from app.cli.main import main

main(prog_name="report-remove")
