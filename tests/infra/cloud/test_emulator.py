"""The emulator stays on loopback, keeps its word about signatures, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

from infra.cloud import emulator as module
from infra.cloud.emulator import REGION, ROOT, EmulatorFailed, emulator


def client(service: str, endpoint: str, key: str = ROOT) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=key,
    )


def test_it_listens_on_loopback_and_ends_with_all_it_started(tmp_path: Path) -> None:
    others = set(psutil.Process(os.getpid()).children(recursive=True))  # of other tests
    with emulator(folder=tmp_path) as endpoint:
        port = urlsplit(endpoint).port
        ours = set(psutil.Process(os.getpid()).children(recursive=True)) - others
        listening = [c for p in ours for c in p.net_connections("tcp") if c.status == "LISTEN"]
        assert [c.laddr for c in listening] == [("127.0.0.1", port)]
        assert client("sqs", endpoint).list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert not any(process.is_running() for process in ours)
    assert (tmp_path / "emulator.log").stat().st_size > 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port or 0)) != 0


_WITH_ONE = """
import signal
from infra.cloud.emulator import emulator

with emulator():
    print("up", flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_whoever_began_it(ended_by: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM as Python takes it by default: at once, without a word to any `finally`."""
    with subprocess.Popen(
        [sys.executable, "-c", _WITH_ONE],
        cwd=Path(module.__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
    ) as began:
        assert began.stdout is not None
        assert began.stdout.readline() == b"up\n"
        (running,) = psutil.Process(began.pid).children(recursive=True)
        began.send_signal(ended_by)
    assert began.returncode == -ended_by
    psutil.wait_procs([running], timeout=10)
    assert not running.is_running()


def test_it_forgets_and_leaves_no_files() -> None:
    before = set(Path(tempfile.gettempdir()).glob("report-remove-aws-*"))
    with emulator() as endpoint:
        client("sqs", endpoint).create_queue(QueueName="one")
    with emulator() as endpoint:
        assert not client("sqs", endpoint).list_queues().get("QueueUrls")
    assert set(Path(tempfile.gettempdir()).glob("report-remove-aws-*")) <= before


def test_with_auth_a_stranger_is_refused() -> None:
    with emulator(auth=True) as endpoint:
        client("sqs", endpoint).list_queues()
        with pytest.raises(ClientError, match=r"InvalidClientTokenId|AccessDenied|invalid"):
            client("sqs", endpoint, key="AKIASTRANGER00000000").list_queues()


def test_what_keeps_it_from_starting_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(module, "INTERPRETER", program)
    with pytest.raises(EmulatorFailed, match="no such module"), emulator():
        pass
    monkeypatch.setattr(module, "INTERPRETER", tmp_path / "nowhere")
    with pytest.raises(EmulatorFailed, match="venv-ministack"), emulator():
        pass
