"""Keys, brokers, and a SoftHSM token of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.broker.issuance import IssuerKey, Predicate, problems_of
from infra.broker.signers.development import DevelopmentSigner
from tests.infra.broker.running import Here, here, write

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "not-1234"


@dataclass(frozen=True)
class SoftHsm:
    """A token that is there for these tests alone."""

    configuration: Path
    pin_file: Path
    module: Path = MODULE
    token: str = "age-broker-test"
    pin: str = PIN

    @property
    def env(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.configuration)}

    @property
    def signer(self) -> str:
        """The configuration's table."""
        return (
            f'[signer]\nkind = "pkcs11"\nmodule = "{self.module}"\ntoken = "{self.token}"\n'
            f'pin_file = "{self.pin_file}"\n'
        )


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a development key of each predicate, which can be live together."""
    folder = tmp_path_factory.mktemp("keys")
    signer = DevelopmentSigner(folder)
    signer.make("document")
    signer.make("estimate")
    while problems_of(made(signer, "document", "estimate")):
        signer.destroy("estimate")
        signer.make("estimate")
    return folder


def made(signer: DevelopmentSigner, *labels: str) -> list[IssuerKey]:
    return [IssuerKey(label, Predicate.DOCUMENT, signer.public(label).modulus) for label in labels]


@pytest.fixture
def broker(tmp_path: Path, keys: Path) -> Iterator[Here]:
    """A broker in this process, on a day of its own."""
    running = here(write(tmp_path, keys))
    yield running
    running.days.close()


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """SoftHSM reads its configuration once a process, so there is one token for all tests."""
    token = device(tmp_path_factory.mktemp("softhsm"))
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ.update(token.env)
    yield token
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


def device(folder: Path) -> SoftHsm:
    """A token in that folder, without keys."""
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    pin_file = folder / "pin"
    pin_file.write_text(PIN + "\n")
    pin_file.chmod(0o600)
    token = SoftHsm(configuration, pin_file)
    command = ["softhsm2-util", "--init-token", "--free", "--label", token.token]
    command += ["--so-pin", "so-" + PIN, "--pin", PIN]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | token.env)
    return token
