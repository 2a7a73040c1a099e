"""The operator's file: what we ship is usable, and what cannot be used is refused by name."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from app.web.child.operator import OLD, SHIPPED, BadPages, parse, read

TEXT = SHIPPED.read_text()


def test_what_is_shipped_covers_five_places_and_says_to_check(tmp_path: Path) -> None:
    pages = read(tmp_path)
    assert [country.code for country in pages.countries] == ["GB", "IE", "EU", "US", "AU"]
    assert all(c.helplines and c.emergency_source for c in pages.countries)
    assert "CHECK BEFORE GOING LIVE" in TEXT


def test_an_operators_own_file_wins(tmp_path: Path) -> None:
    (tmp_path / "pages.toml").write_text(TEXT.replace('name = "Notes"', 'name = "Recipes"'))
    assert read(tmp_path).name == "Recipes"


def test_entries_older_than_a_year_are_named() -> None:
    pages = parse(TEXT)
    checked = pages.countries[0].checked_on
    assert pages.stale(checked + OLD) == []
    late = pages.stale(checked + OLD + timedelta(days=1))
    assert "GB: emergency number" in late
    assert "GB: Childline" in late
    fresh = TEXT.replace("checked_on = 2000-01-01", "checked_on = 2026-11-22")
    older = parse(fresh.replace("checked_on = 2026-11-22", "checked_on = 2020-01-01", 1))
    assert older.stale(date(2026, 11, 23)) == ["GB: emergency number"]


def test_the_shipped_examples_say_that_nobody_has_checked_them() -> None:
    pages = parse(TEXT)
    entries = sum(1 + len(country.helplines) for country in pages.countries)
    assert len(pages.stale(date(2026, 11, 23))) == entries


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "Notes"', "", "name"),
        ('name = "Notes"', 'name = " "', "name"),
        ("https://www.bbc.co.uk/weather", "javascript:alert(1)", "leave_to"),
        ("https://www.bbc.co.uk/weather", "http://www.bbc.co.uk/weather", "leave_to"),
        ("hashes_per_photo = 64", "hashes_per_photo = 0", "hashes_per_photo"),
        ("hashes_per_photo = 64", "hashes_per_photo = true", "hashes_per_photo"),
        ('emergency = "999"', 'emergency = "nine"', "phone"),
        ('phone = "0800 1111"', 'phone = "0800;ext=1"', "phone"),
        ("checked_on = 2000-01-01", 'checked_on = "soon"', "checked_on"),
        ("[[country.helpline]]", "[[country.hotline]]", "helpline"),
        ("[[country]]", "[[country", "TOML"),
        ("hashes_per_photo = 64", "hashes_per_photo = 64\nbroker_answers = 7", "broker_answers"),
    ],
)
def test_what_cannot_be_used_is_named(old: str, new: str, named: str) -> None:
    assert old in TEXT
    with pytest.raises(BadPages, match=named):
        parse(TEXT.replace(old, new))


def asking(address: str) -> str:
    return f"broker_answers = '''{address}'''\n{TEXT}"


@pytest.mark.parametrize(
    "address",
    [
        "https://broker.example/healthz",
        "https://a.b-c.example:8443/x/y_z.1",
        "https://xn--brk-sna.example/healthz",
        "http://localhost:1/h",
    ],
)
def test_a_broker_may_be_asked_where_the_operator_says(address: str) -> None:
    assert parse(TEXT).broker_answers is None
    assert parse(asking(address)).broker_answers == address


@pytest.mark.parametrize(
    "address",
    [
        "http://broker.example/healthz",
        "https://broker.example",
        "https://broker.example/",
        "https://broker.example/h?from=us",
        "https://broker.example/h#us",
        "https://broker.example/h; script-src *",
        "https://broker.example/h, *",
        "https://broker.example/h *",
        "https://*.example/h",
        "https://us@broker.example/h",
        "https://brök.example/h",
        "http://localhost.example/h",
        "https://broker.example/h\nhttps://other.example/h",
        "wss://broker.example/h",
        "",
    ],
)
def test_what_would_say_more_to_a_broker_or_a_browser_is_refused(address: str) -> None:
    with pytest.raises(BadPages, match="broker_answers"):
        parse(asking(address))
