"""An operator verifies a platform's endpoints, adds more, pauses and closes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from app.services.change_partner import change_partner, make_waiting_due
from app.services.house import House
from partners.egress import EgressGuard
from partners.enrolment import enrol
from partners.errors import EnrolmentRefused, UnknownPartner
from partners.model import (
    Endpoint,
    EndpointId,
    EndpointStatus,
    Partner,
    PartnerId,
    SigningScheme,
)
from partners.ports import Caller
from partners.registry import (
    EndpointWish,
    Handover,
    resume_endpoint,
    with_endpoint,
    with_endpoint_status,
    with_event_types,
)

_LEFT_ALONE = frozenset({EndpointStatus.PAUSED})  # it is an operator who resumes those


@dataclass(frozen=True, slots=True)
class ManageEndpoints:
    """Where messages go. `origin` is the service's public address, by which endpoints know us."""

    house: House
    guard: EgressGuard
    caller: Caller
    origin: str

    def verify(self, name: str) -> list[dict[str, object]]:
        """Shake hands with an endpoint and challenge it; of a partner, with all that have a URL.

        What waited for them is due then. Raises UnknownPartner or EnrolmentRefused; what was
        verified before the refusal stays so.
        """
        partner = self._named(name)
        wanted = [e for e in partner.endpoints if name in (e.id, partner.id) and _asked(e, name)]
        if not wanted:
            raise EnrolmentRefused("there is no endpoint with a URL to verify")
        return [self._verify(partner.id, endpoint.id) for endpoint in wanted]

    def add(
        self, partner_id: str, url: str | None, scheme: str, event_types: tuple[str, ...]
    ) -> dict[str, object]:
        """One more endpoint, not verified yet, and what to hand over for it.

        Raises UnknownPartner, RegistrationRefused or EndpointRefused.
        """
        status = EndpointStatus.UNVERIFIED if url else EndpointStatus.ACTIVE
        wish = EndpointWish(url, SigningScheme(scheme), event_types, status)
        made: list[Handover] = []

        def turn(partner: Partner) -> Partner:
            changed, handover = with_endpoint(
                partner,
                wish,
                guard=self.guard,
                ids=self.house.ids,
                keys=self.house.keys,
                now=self.house.clock.now(),
            )
            made[:] = [handover]
            return changed

        change_partner(self.house, PartnerId(partner_id), turn)
        ((endpoint_id, key),) = made[0].endpoint_keys.items()
        return {"partner_id": partner_id, "endpoint_id": endpoint_id, "webhook_key": key}

    def pause(self, endpoint_id: str) -> None:
        """Post nothing there; its messages wait. Raises UnknownPartner or TransitionRefused."""
        self._set(endpoint_id, EndpointStatus.PAUSED)

    def disable(self, endpoint_id: str) -> None:
        """Post nothing there until it is verified again; what waits for it fails.

        Raises UnknownPartner.
        """
        make_waiting_due(self.house, self._set(endpoint_id, EndpointStatus.DISABLED))

    def resume(self, endpoint_id: str) -> int:
        """Post there again, first what waited; how many messages that is.

        Raises UnknownPartner, or TransitionRefused unless it was paused.
        """
        name = EndpointId(endpoint_id)
        owner = self._named(endpoint_id).id
        changed = change_partner(self.house, owner, lambda p: resume_endpoint(p, name))
        return make_waiting_due(self.house, changed)

    def filter(self, endpoint_id: str, event_types: tuple[str, ...]) -> None:
        """Tell it of those event types only; none means every one.

        Raises UnknownPartner or RegistrationRefused.
        """
        name, owner = EndpointId(endpoint_id), self._named(endpoint_id).id
        turn = partial(
            with_event_types, endpoint_id=name, event_types=event_types, guard=self.guard
        )
        change_partner(self.house, owner, turn)

    def rows(self, partner_id: str) -> list[dict[str, object]]:
        """A partner's endpoints for an operator's eyes. Raises UnknownPartner."""
        return [endpoint_row(endpoint) for endpoint in self._named(partner_id).endpoints]

    def resume_waiting(self) -> int:
        """Make due what was set aside at the very moment its endpoint came back; how many."""
        return sum(make_waiting_due(self.house, p) for p in self.house.store.partners())

    def _verify(self, owner: PartnerId, endpoint_id: EndpointId) -> dict[str, object]:
        turn = partial(
            enrol,
            endpoint_id=endpoint_id,
            caller=self.caller,
            origin=self.origin,
            ids=self.house.ids,
            keys=self.house.keys,
            now=self.house.clock.now(),
        )
        changed = change_partner(self.house, owner, turn)
        endpoint = changed.endpoint(endpoint_id)
        resumed = make_waiting_due(self.house, changed)
        rate = endpoint.rate_per_minute if endpoint else None
        return {"endpoint_id": endpoint_id, "rate_per_minute": rate, "resumed": resumed}

    def _set(self, endpoint_id: str, status: EndpointStatus) -> Partner:
        name, owner = EndpointId(endpoint_id), self._named(endpoint_id).id
        return change_partner(self.house, owner, lambda p: with_endpoint_status(p, name, status))

    def _named(self, name: str) -> Partner:
        """The partner of that id, or whose endpoint has it."""
        for partner in self.house.store.partners():
            if name == partner.id or partner.endpoint(EndpointId(name)) is not None:
                return partner
        raise UnknownPartner("there is no such partner or endpoint")


def endpoint_row(endpoint: Endpoint) -> dict[str, object]:
    """An endpoint for an operator's eyes: no key of it."""
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "scheme": endpoint.scheme,
        "status": endpoint.status,
        "event_types": list(endpoint.event_types),
        "rate_per_minute": endpoint.rate_per_minute,
    }


def _asked(endpoint: Endpoint, name: str) -> bool:
    """Whoever names an endpoint means it; whoever names a partner means what is not paused."""
    return name == endpoint.id or (endpoint.url is not None and endpoint.status not in _LEFT_ALONE)
