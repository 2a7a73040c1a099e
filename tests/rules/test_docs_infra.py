"""The systemd unit and the proxy's lines hold what their page says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.settings import PREFIX, Settings
from tests.app.web.running import ROOT
from tests.rules.pages import blocks

UNIT = (ROOT / "infra/report-remove.service").read_text()
README = (ROOT / "infra/README.md").read_text()
ANALYZE = shutil.which("systemd-analyze")


def lines(name: str) -> list[str]:
    """The values of a directive."""
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")
def test_systemd_reads_every_line(tmp_path: Path) -> None:
    """With a program that exists here; verify prints what it does not know, and still exits 0."""
    unit = tmp_path / "report-remove.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT, flags=re.MULTILINE))
    said = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in said.stderr.splitlines() if "report-remove.service" in line]
    assert (said.returncode, ours) == (0, [])


def test_its_data_is_where_the_service_looks() -> None:
    data = [v for v in lines("Environment") if v.startswith(f"{PREFIX}DATA_DIR=")]
    assert data == [f"{PREFIX}DATA_DIR=/var/lib/{lines('StateDirectory')[0]}"]
    assert lines("StateDirectoryMode") == ["0700"]
    assert lines("UMask") == ["0077"]


def test_what_guards_the_root_key_stays() -> None:
    for line in ("LimitCORE=0", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectClock=yes"):
        assert line in UNIT.splitlines()


def test_the_settings_of_the_page_are_ones_the_service_starts_with(tmp_path: Path) -> None:
    settings = next(block for block in blocks(README, "sh") if block.startswith(PREFIX))
    env = dict(line.split("=", 1) for line in settings.splitlines())
    issuers = tmp_path / "issuers.toml"
    issuers.touch()
    env[f"{PREFIX}AGE_ISSUERS_FILE"] = str(issuers)
    assert Settings.from_env(env).trusted_proxies == 1


def test_the_proxy_writes_down_neither_addresses_nor_bodies() -> None:
    (proxy,) = blocks(README, "nginx")
    assert re.search(r"^\s*access_log off;", proxy, re.MULTILINE)
    assert re.search(r"^\s*error_log /dev/null", proxy, re.MULTILINE)
    assert re.search(r"X-Forwarded-For \$remote_addr;", proxy)
    sizes = re.findall(r"client_(?:max_body|body_buffer)_size (\d+)m;", proxy)
    largest = Settings.from_env({}).max_body_bytes
    assert len(sizes) == 2
    assert all(int(size) * 2**20 > largest for size in sizes)
