"""An operator takes platforms on, suspends them, and changes their secrets; so may they."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from app.domain.deadlines import DeadlinePolicy
from app.ports import SavePartner
from app.services.change_partner import change_partner, make_waiting_due
from app.services.house import House
from app.services.manage_endpoints import endpoint_row
from partners.egress import EgressGuard
from partners.errors import RegistrationRefused
from partners.model import (
    EndpointId,
    EndpointStatus,
    Partner,
    PartnerId,
    SigningScheme,
)
from partners.registry import (
    EndpointWish,
    Handover,
    new_partner,
    resume,
    rotate_api_key,
    rotate_endpoint_key,
    suspend,
    with_endpoint_status,
    with_jwks,
)
from partners.sealing import Signer


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
        """Take a platform on and return what to hand over. Its webhook is yet to be verified.

        Raises RegistrationRefused, EndpointRefused or KeySetRefused.
        """
        if policy not in self.policies:
            known = ", ".join(sorted(self.policies))
            raise RegistrationRefused(f"there is no such deadline policy; there are: {known}")
        # Without a URL there is nobody to verify: who pulls has shown its API key.
        status = EndpointStatus.UNVERIFIED if webhook else EndpointStatus.ACTIVE
        partner, handover = new_partner(
            name,
            policy,
            [EndpointWish(webhook, SigningScheme(scheme), status=status)],
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
                "endpoints": [endpoint_row(endpoint) for endpoint in partner.endpoints],
            }
            for partner in self.house.store.partners()
        ]

    def suspend(self, partner_id: str) -> None:
        """Tell it nothing more. Raises UnknownPartner."""
        change_partner(self.house, PartnerId(partner_id), suspend)

    def resume(self, partner_id: str) -> None:
        """Tell it again, also what waited meanwhile. Raises UnknownPartner."""
        make_waiting_due(self.house, change_partner(self.house, PartnerId(partner_id), resume))

    def disable_endpoint(self, partner_id: PartnerId, endpoint_id: EndpointId) -> None:
        """Post nothing there until an operator says so."""
        change_partner(
            self.house,
            partner_id,
            lambda p: with_endpoint_status(p, endpoint_id, EndpointStatus.DISABLED),
        )

    def seal_to(self, partner_id: str, jwks: str | None) -> dict[str, object]:
        """Seal to that JWK Set from now on, or send thin messages; our key to hand over.

        Raises UnknownPartner or KeySetRefused.
        """
        change_partner(self.house, PartnerId(partner_id), lambda p: with_jwks(p, jwks))
        return {"partner_id": partner_id, "sealing_key": self.signer.jwk() if jwks else None}

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

        change_partner(self.house, PartnerId(partner_id), turn)
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

        change_partner(self.house, PartnerId(partner_id), turn)
        return made
