"""An operator takes platforms on, suspends them, and changes their secrets; so may they."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from app.domain.deadlines import DeadlinePolicy
from app.domain.errors import Contested
from app.ports import SaveMessage, SavePartner
from app.services.house import House
from partners.egress import EgressGuard
from partners.errors import RegistrationRefused, UnknownPartner
from partners.model import (
    EndpointId,
    EndpointStatus,
    MessageState,
    Partner,
    PartnerId,
    SigningScheme,
)
from partners.outbox import resumed
from partners.registry import (
    EndpointWish,
    Handover,
    new_partner,
    resume,
    rotate_api_key,
    rotate_endpoint_key,
    suspend,
    with_endpoint_status,
)
from partners.sealing import Signer

TRIES = 10


@dataclass(frozen=True, slots=True)
class ManagePartners:
    """Every change to a partner. Secrets are given back once and not kept in the clear."""

    house: House
    policies: Mapping[str, DeadlinePolicy]
    guard: EgressGuard
    signer: Signer
    public_url: str

    def add(
        self,
        name: str,
        webhook: str | None,
        scheme: str,
        policy: str,
        jwks: str | None,
        takes_location: bool,
    ) -> dict[str, object]:
        """Take a platform on and return what to hand over.

        Raises RegistrationRefused, EndpointRefused or KeySetRefused.
        """
        if policy not in self.policies:
            known = ", ".join(sorted(self.policies))
            raise RegistrationRefused(f"there is no such deadline policy; there are: {known}")
        partner, handover = new_partner(
            name,
            policy,
            [EndpointWish(webhook, SigningScheme(scheme))],
            guard=self.guard,
            ids=self.house.ids,
            keys=self.house.keys,
            now=self.house.clock.now(),
            jwks=jwks,
            takes_location=takes_location,
        )
        self.house.store.commit(SavePartner(partner))
        endpoint_id, key = next(iter(handover.endpoint_keys.items()))
        return {
            "partner_id": partner.id,
            "endpoint_id": endpoint_id,
            "service_url": self.public_url,
            "api_key": handover.api_key,
            "webhook_key": key,
            "sealing_key": self.signer.jwk() if jwks else None,
        }

    def rows(self) -> list[dict[str, object]]:
        """The partners for an operator's eyes."""
        return [
            {
                "id": partner.id,
                "name": partner.name,
                "status": partner.status,
                "policy": partner.deadline_policy,
                "sealed": partner.jwks is not None,
                "endpoints": [
                    {"id": e.id, "url": e.url, "scheme": e.scheme, "status": e.status}
                    for e in partner.endpoints
                ],
            }
            for partner in self.house.store.partners()
        ]

    def suspend(self, partner_id: str) -> None:
        """Tell it nothing more. Raises UnknownPartner."""
        self._change(PartnerId(partner_id), suspend)

    def resume(self, partner_id: str) -> None:
        """Tell it again, also what waited meanwhile. Raises UnknownPartner."""
        self._change(PartnerId(partner_id), resume)
        self._make_waiting_due(PartnerId(partner_id))

    def disable_endpoint(self, partner_id: PartnerId, endpoint_id: EndpointId) -> None:
        """Post nothing there until an operator says so."""
        self._change(
            partner_id, lambda p: with_endpoint_status(p, endpoint_id, EndpointStatus.DISABLED)
        )

    def rotate_api_key(self, partner_id: str, overlap: timedelta) -> list[dict[str, object]]:
        """A new API key; the old one works on during the overlap. Raises UnknownPartner."""
        made: list[Handover] = []

        def turn(partner: Partner) -> Partner:
            now = self.house.clock.now()
            partner, handover = rotate_api_key(
                partner, now, overlap, ids=self.house.ids, keys=self.house.keys
            )
            made[:] = [handover]
            return partner

        self._change(PartnerId(partner_id), turn)
        return [{"secret": made[0].api_key}]

    def rotate_signing_keys(self, partner_id: str, overlap: timedelta) -> list[dict[str, object]]:
        """A new key for each endpoint; both sign during the overlap. Raises UnknownPartner."""
        made: list[dict[str, object]] = []

        def turn(partner: Partner) -> Partner:
            made.clear()
            for endpoint in partner.endpoints:
                now = self.house.clock.now()
                turned, handover = rotate_endpoint_key(
                    partner,
                    endpoint.id,
                    now,
                    overlap,
                    ids=self.house.ids,
                    keys=self.house.keys,
                )
                # One change to the store, however many endpoints there are.
                partner = replace(turned, version=partner.version)
                made.append(
                    {
                        "secret": handover.endpoint_keys[endpoint.id],
                        "scheme": endpoint.scheme,
                        "endpoint_id": endpoint.id,
                    }
                )
            return replace(partner, version=partner.version + 1)

        self._change(PartnerId(partner_id), turn)
        return made

    def _change(self, partner_id: PartnerId, turn: Callable[[Partner], Partner]) -> None:
        for _ in range(TRIES):
            partner = self.house.store.partner(partner_id)
            if partner is None:
                raise UnknownPartner("there is no such partner")
            changed = turn(partner)
            if changed is partner:
                return
            try:
                self.house.store.commit(SavePartner(changed))
            except Contested:
                continue
            return
        raise Contested

    def _make_waiting_due(self, partner_id: PartnerId) -> None:
        """Messages that were set aside while it was suspended are due now."""
        partner, after = self.house.store.partner(partner_id), ""
        posted = {e.id for e in partner.endpoints if e.url} if partner else set()
        while True:
            page, cursor = self.house.store.messages(
                partner_id=partner_id, states=(MessageState.PENDING,), after=after, limit=100
            )
            for message in page:
                if message.due_at is None and message.endpoint_id in posted:
                    due = resumed(message, self.house.clock.now())
                    self.house.store.commit(SaveMessage(due))
            if cursor is None:
                return
            after = cursor
