"""One change to a stored partner, and what waited for it made due."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from app.domain.errors import Contested
from app.ports import SaveMessage, SavePartner
from app.services.house import House, insist
from partners.errors import UnknownPartner
from partners.model import EndpointStatus, Message, MessageState, Partner, PartnerId, PartnerStatus
from partners.outbox import resumed

_PAGE = 500
_TOLD = frozenset({EndpointStatus.ACTIVE, EndpointStatus.DISABLED})


def change_partner(
    house: House, partner_id: PartnerId, turn: Callable[[Partner], Partner]
) -> Partner:
    """Store what `turn` makes of the partner. Raises UnknownPartner, or what `turn` raises."""

    def once() -> Partner:
        partner = house.store.partner(partner_id)
        if partner is None:
            raise UnknownPartner("there is no such partner")
        changed = turn(partner)
        if changed is not partner:
            house.store.commit(SavePartner(changed))
        return changed

    return insist(once)


def make_waiting_due(house: House, partner: Partner) -> int:
    """Messages that were set aside while an endpoint was not posted to are due now; how many.

    Those of a disabled endpoint too: delivery fails them, so that an operator hears of each.
    """
    if partner.status is not PartnerStatus.ACTIVE:
        return 0
    told = {e.id for e in partner.endpoints if e.url is not None and e.status in _TOLD}
    if not told:
        return 0
    waiting = [m for m in _pending(house, partner.id) if m.due_at is None]
    return sum(_due(house, message) for message in waiting if message.endpoint_id in told)


def _due(house: House, message: Message) -> bool:
    with suppress(Contested):  # its partner pulled it, or somebody else made it due
        house.store.commit(SaveMessage(resumed(message, house.clock.now())))
        return True
    return False


def _pending(house: House, partner_id: PartnerId) -> Iterator[Message]:
    after: str | None = ""
    while after is not None:
        page, after = house.store.messages(
            partner_id=partner_id, states=(MessageState.PENDING,), after=after, limit=_PAGE
        )
        yield from page
