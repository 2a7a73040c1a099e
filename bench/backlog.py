"""The service as it is wired in production, in a folder, with partners and messages that are due.

Everything is real but the partners' addresses: loopback, under a certificate authority of this
run's own, which OpenSSL is told of by SSL_CERT_FILE.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from joserfc import jwk

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from app.adapters.system import OneProcessor  # noqa: E402
from app.bootstrap import Runtime, build  # noqa: E402
from app.domain.age import AgeBand, Presentation  # noqa: E402
from app.ports import SavePartner  # noqa: E402
from app.services.answers import RequestKey  # noqa: E402
from app.settings import Settings  # noqa: E402
from bench.photos import photo  # noqa: E402
from partners.composing import key_place  # noqa: E402
from partners.model import (  # noqa: E402
    Endpoint,
    EndpointId,
    Partner,
    PartnerId,
    SealedKey,
    SigningScheme,
)
from partners.ports import Clock  # noqa: E402
from partners.signing import PrivateKey  # noqa: E402
from tests.partners.platforms import Authority  # noqa: E402

POLICY = "uk-osa-48h"


def certificate(folder: Path) -> Path:
    """A certificate for localhost; this process and its children trust its authority."""
    authority = Authority(folder)
    os.environ["SSL_CERT_FILE"] = str(authority.bundle)
    return authority.certificate("partners")


def settings_env(folder: Path) -> dict[str, str]:
    """The environment of a service in that folder which may post to loopback."""
    return {
        "REPORT_REMOVE_ENVIRONMENT": "development",
        "REPORT_REMOVE_ALLOW_LOOPBACK_PARTNERS": "yes",
        "REPORT_REMOVE_DATA_DIR": str(folder),
    }


@contextmanager
def as_served(processor: OneProcessor | None) -> Iterator[None]:
    """This process keeps to that one meanwhile, as `serve` does. New children do too."""
    before = os.sched_getaffinity(0)
    if processor:
        processor.keep()
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Backlog:
    """One service in this process, without its threads."""

    runtime: Runtime

    @classmethod
    def open(cls, folder: Path, clock: Clock | None = None) -> Backlog:
        """The service that keeps its data in `folder`."""
        return cls(build(Settings.from_env(settings_env(folder)), clock))

    def enrol(self, port: int) -> Partner:
        """A partner that takes sealed messages (P-256) signed with Ed25519 at that port."""
        house = self.runtime.services.house
        now = house.clock.now()
        endpoint = Endpoint(
            EndpointId(house.ids.new("end")),
            f"https://localhost:{port}/hook",
            SigningScheme.V1A,
            (),
        )
        place = key_place(endpoint, "key_1")
        key = SealedKey("key_1", house.keys.seal(place, str(PrivateKey.generate()).encode()), now)
        public = jwk.ECKey.generate_key("P-256").as_dict(private=False)
        partner = Partner(
            id=PartnerId(house.ids.new("ptn")),
            name=f"Partner {port}",
            deadline_policy=POLICY,
            endpoints=(replace(endpoint, keys=(key,)),),
            api_keys=(),
            created_at=now,
            jwks=json.dumps({"keys": [{n: public[n] for n in ("kty", "crv", "x", "y")}]}),
        )
        house.store.commit(SavePartner(partner))
        return partner

    def report(self, count: int) -> None:
        """That many reports of one photo with eight hashes, expanded into due messages."""
        self.submit(count)
        while self.runtime.services.expand_events():
            pass

    def submit(self, count: int) -> None:
        """That many reports, not yet expanded."""
        for _ in range(count):
            key = RequestKey(secrets.token_urlsafe(24), "/v1/reports", secrets.token_bytes(32))
            presentation = Presentation(
                "declared-v1", AgeBand.FROM_13_TO_15, b"", "POST", "/v1/reports"
            )
            self.runtime.services.submit_report(
                secrets.token_bytes(32), (photo(),), presentation, key
            )

    def deliver(self, count: int) -> None:
        """Step the engine until that many more messages are delivered and durably so."""
        engine = self.runtime.worker.engine
        engine.wake()
        while count > 0:
            count -= engine.step(1.0).delivered

    def close(self) -> None:
        """Stop all of it."""
        self.runtime.worker.engine.close()
        self.runtime.close()
