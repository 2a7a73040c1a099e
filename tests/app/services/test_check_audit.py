"""A chain that lost an entry, or of which one was altered, is found; a whole one is not blamed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from app.services.check_audit import CheckAudit, Fault
from partners.model import Word
from tests.app.services.world import DAY, World, a_photo, a_request


def _world_of_three(world: World) -> list[bytes]:
    """Three cases with chains of three, two and one entries."""
    partner = world.platform()
    keys = [world.report() for _ in range(3)]
    world.expand()
    for key in keys[:2]:
        world.say(partner, key, Word.REMOVED)
    world.services.add_to_case(keys[0], [a_photo()], a_request())
    return keys


def _write(world: World, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(world.database)) as connection, connection:
        connection.execute(statement, values)


def test_whole_chains_are_counted_and_none_is_blamed(world: World) -> None:
    keys = _world_of_three(world)
    found = {chain.case_id: chain for chain in CheckAudit(world.house)()}
    assert [found[world.case(key).id].entries for key in keys] == [3, 2, 1]
    assert {chain.fault for chain in found.values()} == {None}


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("UPDATE audit SET reason = 'other' WHERE case_id = ? AND number = 2", Fault.BROKEN),
        ("UPDATE audit SET at = at + 1 WHERE case_id = ? AND number = 1", Fault.BROKEN),
        ("DELETE FROM audit WHERE case_id = ? AND number = 1", Fault.BROKEN),
        ("DELETE FROM audit WHERE case_id = ? AND number = 2", Fault.BROKEN),
        ("DELETE FROM audit WHERE case_id = ? AND number = 3", Fault.CUT),
        ("DELETE FROM audit WHERE case_id = ?", Fault.MISSING),
    ],
)
def test_what_was_altered_or_is_missing_shows(world: World, damage: str, fault: Fault) -> None:
    keys = _world_of_three(world)
    harmed = world.case(keys[0]).id
    _write(world, damage, harmed)
    faults = {chain.case_id: chain.fault for chain in CheckAudit(world.house)()}
    assert {case for case, found in faults.items() if found} == {harmed}
    assert faults[harmed] is fault
    assert CheckAudit(world.house).one(harmed).fault is fault


def test_a_chain_that_outlives_its_case_is_looked_at_too(
    make_world: Callable[..., World],
) -> None:
    world = make_world(SCRUBBED_KEEP="0")
    key = world.report()
    case_id = world.case(key).id
    world.clock.forward(800 * DAY)
    world.services.purge_expired()
    world.services.purge_expired()
    assert world.count("cases") == 0
    (chain,) = CheckAudit(world.house)()
    assert (chain.case_id, chain.entries, chain.fault) == (case_id, 3, None)
    _write(world, "DELETE FROM audit WHERE number = 2")
    (chain,) = CheckAudit(world.house)()
    assert chain.fault is Fault.BROKEN


def test_the_rows_of_one_chain_say_who_did_what(world: World) -> None:
    keys = _world_of_three(world)
    rows = CheckAudit(world.house).rows(world.case(keys[0]).id)
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("young_person", "reported"),
        ("partner", "feedback"),
        ("young_person", "items_added"),
    ]
    assert "digest" not in rows[0]
