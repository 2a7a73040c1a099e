"""AWS on this machine: ministack on a free loopback port, its state its own, for tests and runs.

    with emulator() as endpoint:                       # 'http://127.0.0.1:40123'
        boto3.client("dynamodb", endpoint_url=endpoint, region_name=REGION,
                     aws_access_key_id=ROOT, aws_secret_access_key=ROOT)

With `auth=True` signatures, policies and roles are enforced, as on AWS; ROOT is the account itself
and may do everything. An emulator forgets all it had when it ends, and ends at the latest with the
process that began it (if that was killed, its log stays among the temporary files). `python -m
infra.cloud.emulator` runs one until it is told to stop and prints its endpoint as a line of JSON.
It lives in .venv-ministack (./test and ./run --cloud make it from locks/ministack.txt): it pins a
botocore that is not ours.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

REGION = "eu-central-1"
ACCOUNT = "000000000000"
ROOT = "test"  # the access key, and the secret, of the account itself
INTERPRETER = Path(__file__).parents[2] / ".venv-ministack" / "bin" / "python"
PATIENCE = 30.0  # seconds until it must answer

# Only we hold the other end of its standard input: that end closes with us, killed or not.
_ENDING_WITH_US = """
import os, runpy, signal, threading

def wait_for_the_end():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)

threading.Thread(target=wait_for_the_end, daemon=True).start()
runpy.run_module("ministack", run_name="__main__", alter_sys=True)
"""


class EmulatorFailed(Exception):
    """It is not installed, or did not come up; the message ends with its own last words."""


@contextmanager
def emulator(auth: bool = False, folder: Path | None = None) -> Iterator[str]:
    """Run one and yield its endpoint URL. Its log is `emulator.log` in `folder`, else thrown away.

    What it keeps while it runs is in a folder of its own there, or among temporary files.

    Raises EmulatorFailed if it is not installed or does not answer within 30 seconds.
    """
    if not INTERPRETER.exists():
        raise EmulatorFailed("no .venv-ministack here: ./test and ./run --cloud make it")
    with tempfile.TemporaryDirectory(
        prefix="report-remove-aws-", dir=folder, ignore_cleanup_errors=True
    ) as state:
        log = (folder or Path(state)) / "emulator.log"
        port = _free_port()
        process = _start(port, auth, Path(state), log)
        try:
            _wait_healthy(process, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(port: int, auth: bool, state: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as lines:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [str(INTERPRETER), "-c", _ENDING_WITH_US],
            env=_environment(port, auth, state),
            cwd=state,
            stdin=subprocess.PIPE,
            stdout=lines,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that the functions it runs end with it
        )


def _environment(port: int, auth: bool, state: Path) -> Mapping[str, str]:
    """Nothing of ours: it hands its environment on to every function it runs."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(state),
        "TMPDIR": str(state),
        "STATE_DIR": str(state / "state"),
        "S3_DATA_DIR": str(state / "s3"),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "localhost",
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "AUTH": "true" if auth else "false",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }


def _wait_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not _healthy(port):
        if process.poll() is not None:
            raise EmulatorFailed(f"the emulator ended at once\n{_last_words(log)}")
        if time.monotonic() > until:
            raise EmulatorFailed(f"no answer in {PATIENCE:.0f} s\n{_last_words(log)}")
        time.sleep(0.05)


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it and the functions it started, at once: it has nothing to keep.

    The session is its own, so nothing else is in the group.
    """
    with process, suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _main() -> None:
    parser = argparse.ArgumentParser(description="Runs ministack until it is told to stop.")
    parser.add_argument("--auth", action="store_true", help="enforce signatures and policies")
    parser.add_argument("--folder", type=Path, help="where emulator.log is written")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with suppress(KeyboardInterrupt), emulator(chosen.auth, chosen.folder) as endpoint:
        sys.stdout.write(json.dumps({"ready": "emulator", "endpoint": endpoint}) + "\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    _main()
