"""A start that is refused leaves nothing open, however late it is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app import bootstrap
from app.bootstrap import DATABASE, StartRefused, build
from app.settings import PREFIX, Settings
from app.web.child.operator import BadPages
from app.wsgi import serve
from tests.app.services.world import World


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """The folder of a service that has one platform, under the policy uk-osa-48h."""
    world = World(tmp_path)
    world.platform(policy="uk-osa-48h")
    world.close()
    return tmp_path / "data"


def settings(data: Path, **chosen: str) -> Settings:
    env = {"ENVIRONMENT": "development", "DATA_DIR": str(data), **chosen}
    return Settings.from_env({PREFIX + name: value for name, value in env.items()})


def still_open(data: Path) -> list[str]:
    """The files of the database, as this process's descriptors name them."""
    held = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return [name for name in held if name.startswith(str(data / DATABASE))]


def test_a_start_holds_the_database_open_and_its_end_does_not(used: Path) -> None:
    runtime = build(settings(used))
    assert still_open(used)
    runtime.close()
    assert not still_open(used)


def test_partners_that_cannot_be_read_leave_nothing_open(used: Path) -> None:
    with closing(sqlite3.connect(used / DATABASE)) as database:
        database.execute("ALTER TABLE partners RENAME TO elsewhere")
    with pytest.raises(StartRefused, match="partners cannot be read"):
        build(settings(used))
    assert not still_open(used)


def test_a_policy_that_is_missing_leaves_nothing_open(used: Path, tmp_path: Path) -> None:
    shipped = Path(bootstrap.__file__).with_name("deadlines.toml").read_text()
    file = tmp_path / "deadlines.toml"
    file.write_text(shipped.replace("uk-osa-48h", "uk-osa-49h"))
    with pytest.raises(StartRefused, match="uk-osa-48h, unknown"):
        build(settings(used, DEADLINES_FILE=str(file)))
    assert not still_open(used)


def test_limits_that_cannot_be_counted_leave_nothing_open(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "no region!")
    with pytest.raises(StartRefused, match="cannot be used"):
        build(settings(used, LIMITS="dynamodb"))
    assert not still_open(used)


def test_pages_that_cannot_be_used_leave_nothing_open(used: Path) -> None:
    (used / "pages.toml").write_text("half a fi")
    with pytest.raises(BadPages, match="not TOML"):
        serve(build(settings(used, PORT="0", METRICS_PORT="0")), lambda _: None)
    assert not still_open(used)
