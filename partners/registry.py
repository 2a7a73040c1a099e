"""Taking a platform on, knowing it by its key, changing its keys, suspending it.

Nothing is stored here: each function gives the partner as it is to be stored, and the secrets to
hand over once, which nobody can ask for again.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from partners.composing import key_place
from partners.egress import EgressGuard
from partners.errors import (
    PartnerSuspended,
    RegistrationRefused,
    TransitionRefused,
    WrongPartnerKey,
)
from partners.events import EventType
from partners.model import (
    ApiKey,
    Endpoint,
    EndpointId,
    EndpointStatus,
    Partner,
    PartnerId,
    PartnerStatus,
    SealedKey,
    SigningScheme,
)
from partners.ports import Ids, KeyRing, PartnerStore, Purpose
from partners.sealing import check_key_set
from partners.signing import SigningKey, generate

NAME_LIMIT: Final = 80
ENDPOINTS_LIMIT: Final = 8
KEYS_LIMIT: Final = 4
"""How many keys of one kind may be live at once: rotating faster retires the oldest sooner."""

_API_KEY: Final = re.compile(r"rrp_([0-9A-Za-z]{1,64})_[0-9A-Za-z]{20,64}")
_CREDENTIALS: Final = re.compile(r"(?i:bearer) +(\S{1,256})")
_NOBODY: Final = bytes(32)
_Key = TypeVar("_Key", ApiKey, SealedKey)
# A challenge goes to every endpoint: it is no news to choose.
_FILTERABLE: Final = frozenset(EventType) - {EventType.ENDPOINT_VERIFICATION}


@dataclass(frozen=True, slots=True)
class EndpointWish:
    """An endpoint as a partner asks for it. Without a URL its messages wait to be pulled."""

    url: str | None
    scheme: SigningScheme = SigningScheme.V1A
    event_types: tuple[str, ...] = ()
    status: EndpointStatus = EndpointStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class Handover:
    """What the partner is told once: its API key, and per endpoint what verifies our messages.

    That is a public key (`whpk_`) for v1a and the shared secret (`whsec_`) for v1.
    """

    api_key: str | None = field(default=None, repr=False)
    endpoint_keys: dict[EndpointId, str] = field(default_factory=dict, repr=False)


def new_partner(
    name: str,
    deadline_policy: str,
    endpoints: Sequence[EndpointWish],
    *,
    guard: EgressGuard,
    ids: Ids,
    keys: KeyRing,
    now: datetime,
    jwks: str | None = None,
    takes_location: bool = False,
) -> tuple[Partner, Handover]:
    """A partner ready to be stored, and what to hand over.

    Raises RegistrationRefused, EndpointRefused (UnsafeAddress) or KeySetRefused.
    """
    checked = check_name(name)
    check_wishes(endpoints, guard)
    key_set = check_key_set(jwks) if jwks is not None else None
    partner_id = PartnerId(ids.new("ptn"))
    made = [_new_endpoint(wish, ids, keys, now) for wish in endpoints]
    secret = _new_api_key(partner_id, ids)
    partner = Partner(
        id=partner_id,
        name=checked,
        deadline_policy=deadline_policy,
        endpoints=tuple(endpoint for endpoint, _ in made),
        api_keys=(ApiKey(_digest(secret, keys), now),),
        created_at=now,
        jwks=key_set,
        takes_location=takes_location,
    )
    return partner, Handover(secret, {e.id: key.handed_over() for e, key in made})


def authenticate(
    credentials: str | None, partners: PartnerStore, keys: KeyRing, now: datetime
) -> Partner:
    """The partner whose live key the value of an Authorization header carries.

    Raises WrongPartnerKey, the same for an unknown partner as for a wrong key, and
    PartnerSuspended for the right key of a suspended one.
    """
    key, partner_id = _read_credentials(credentials)
    partner = partners.partner(partner_id)
    digest = _digest(key, keys)
    live = [known.digest for known in partner.api_keys if known.live(now)] if partner else []
    # Always as many comparisons: the time does not tell who exists, nor who rotates.
    compared = [*live, *[_NOBODY] * KEYS_LIMIT][:KEYS_LIMIT]
    matches = [hmac.compare_digest(digest, known) for known in compared]
    if partner is None or not any(matches):
        raise WrongPartnerKey("the API key is not a live one")
    if partner.status is not PartnerStatus.ACTIVE:
        raise PartnerSuspended("an operator suspended this partner")
    return partner


def rotate_api_key(
    partner: Partner, now: datetime, overlap: timedelta, *, ids: Ids, keys: KeyRing
) -> tuple[Partner, Handover]:
    """A new API key; the old ones work until `overlap` has passed (at once if it is nought)."""
    secret = _new_api_key(partner.id, ids)
    old = _retired(partner.api_keys, now + overlap, now)
    renewed = (*old, ApiKey(_digest(secret, keys), now))
    return _changed(replace(partner, api_keys=renewed)), Handover(secret)


def rotate_endpoint_key(
    partner: Partner,
    endpoint_id: EndpointId,
    now: datetime,
    overlap: timedelta,
    *,
    ids: Ids,
    keys: KeyRing,
) -> tuple[Partner, Handover]:
    """A new signing key; the old ones sign too until `overlap` has passed.

    Raises UnknownPartner if the endpoint is not this partner's.
    """
    endpoint = partner.own_endpoint(endpoint_id)
    made, key = _new_signing_key(endpoint, ids, keys, now)
    old = _retired(endpoint.keys, now + overlap, now)
    changed = partner.with_changed(replace(endpoint, keys=(*old, made)))
    return changed, Handover(endpoint_keys={endpoint_id: key.handed_over()})


def suspend(partner: Partner) -> Partner:
    """Told nothing and refused at the API from now on."""
    return _with_status(partner, PartnerStatus.SUSPENDED)


def resume(partner: Partner) -> Partner:
    """Told again; its waiting messages are made due by `outbox.resumed`."""
    return _with_status(partner, PartnerStatus.ACTIVE)


def with_endpoint_status(
    partner: Partner, endpoint_id: EndpointId, status: EndpointStatus
) -> Partner:
    """The partner with that endpoint paused, resumed, verified or disabled.

    A disabled one only comes back by being verified again: it had said that it is gone.
    Raises UnknownPartner or TransitionRefused.
    """
    endpoint = partner.own_endpoint(endpoint_id)
    if endpoint.status is EndpointStatus.DISABLED and status is EndpointStatus.PAUSED:
        raise TransitionRefused("a disabled endpoint cannot be paused")
    if endpoint.status is EndpointStatus.UNVERIFIED and status is EndpointStatus.PAUSED:
        raise TransitionRefused("an unverified endpoint cannot be paused")
    if endpoint.status is status:
        return partner
    return partner.with_changed(replace(endpoint, status=status))


def resume_endpoint(partner: Partner, endpoint_id: EndpointId) -> Partner:
    """The partner with that endpoint posted to again after a pause.

    Raises UnknownPartner, and TransitionRefused where it must be verified instead.
    """
    status = partner.own_endpoint(endpoint_id).status
    if status not in (EndpointStatus.PAUSED, EndpointStatus.ACTIVE):
        raise TransitionRefused(f"an endpoint that is {status} comes back by being verified")
    return with_endpoint_status(partner, endpoint_id, EndpointStatus.ACTIVE)


def with_endpoint(
    partner: Partner,
    wish: EndpointWish,
    *,
    guard: EgressGuard,
    ids: Ids,
    keys: KeyRing,
    now: datetime,
) -> tuple[Partner, Handover]:
    """The partner with one more endpoint, and what verifies the messages that go there.

    Raises RegistrationRefused or EndpointRefused (UnsafeAddress).
    """
    check_wishes([*map(_as_wish, partner.endpoints), wish], guard)
    made, key = _new_endpoint(wish, ids, keys, now)
    changed = replace(partner, endpoints=(*partner.endpoints, made))
    return _changed(changed), Handover(endpoint_keys={made.id: key.handed_over()})


def with_event_types(
    partner: Partner, endpoint_id: EndpointId, event_types: tuple[str, ...], guard: EgressGuard
) -> Partner:
    """The partner with that endpoint told of those event types only; none means every one.

    Raises UnknownPartner or RegistrationRefused.
    """
    endpoint = replace(partner.own_endpoint(endpoint_id), event_types=event_types)
    changed = partner.with_changed(endpoint)
    check_wishes([_as_wish(e) for e in changed.endpoints], guard)
    return changed


def with_jwks(partner: Partner, jwks: str | None) -> Partner:
    """The partner with another key set, or none (it then gets thin messages).

    Raises KeySetRefused.
    """
    return _changed(replace(partner, jwks=check_key_set(jwks) if jwks is not None else None))


def check_name(name: str) -> str:
    """A name as it is shown: 1 to 80 printable characters. Raises RegistrationRefused."""
    shown = unicodedata.normalize("NFC", name)
    if not 1 <= len(shown) <= NAME_LIMIT:
        raise RegistrationRefused(f"a name has 1 to {NAME_LIMIT} characters")
    if shown != shown.strip() or not shown.isprintable():
        raise RegistrationRefused("a name is printable and does not begin or end with a space")
    return shown


def check_wishes(wishes: Sequence[EndpointWish], guard: EgressGuard) -> None:
    """Raise RegistrationRefused or EndpointRefused unless together they take every event.

    A partner that filtered withdrawals out would keep what a young person took back.
    """
    if not 1 <= len(wishes) <= ENDPOINTS_LIMIT:
        raise RegistrationRefused(f"a partner has 1 to {ENDPOINTS_LIMIT} endpoints")
    for wish in wishes:
        if wish.url is not None:
            guard.check_url(wish.url)
        if not _FILTERABLE.issuperset(wish.event_types):
            raise RegistrationRefused("a filter names an event type that there is not")
    taken = {str(kind) for wish in wishes for kind in wish.event_types or _FILTERABLE}
    if taken != _FILTERABLE:
        raise RegistrationRefused("together the endpoints must take every event type")


def _as_wish(endpoint: Endpoint) -> EndpointWish:
    return EndpointWish(endpoint.url, endpoint.scheme, endpoint.event_types, endpoint.status)


def _new_endpoint(
    wish: EndpointWish, ids: Ids, keys: KeyRing, now: datetime
) -> tuple[Endpoint, SigningKey]:
    bare = Endpoint(
        id=EndpointId(ids.new("end")),
        url=wish.url,
        scheme=wish.scheme,
        keys=(),
        status=wish.status,
        event_types=wish.event_types,
    )
    sealed, key = _new_signing_key(bare, ids, keys, now)
    return replace(bare, keys=(sealed,)), key


def _new_signing_key(
    endpoint: Endpoint, ids: Ids, keys: KeyRing, now: datetime
) -> tuple[SealedKey, SigningKey]:
    key = generate(endpoint.scheme)
    key_id = ids.new("key")
    sealed = keys.seal(key_place(endpoint, key_id), str(key).encode())
    return SealedKey(key_id, sealed, now), key


def _new_api_key(partner_id: PartnerId, ids: Ids) -> str:
    return ids.new(f"rrp_{partner_id.removeprefix('ptn_')}")


def _digest(api_key: str, keys: KeyRing) -> bytes:
    return keys.tag(Purpose.API_KEY, api_key.encode())


def _read_credentials(credentials: str | None) -> tuple[str, PartnerId]:
    carried = _CREDENTIALS.fullmatch(credentials or "")
    key = _API_KEY.fullmatch(carried[1]) if carried else None
    if key is None:
        raise WrongPartnerKey("the Authorization header carries no partner key")
    return key[0], PartnerId(f"ptn_{key[1]}")


def _retired(known: Sequence[_Key], at: datetime, now: datetime) -> list[_Key]:
    """The live ones, none for longer than `at`, and no more than leave room for a new one."""
    live = [_until(key, at) for key in known if key.live(now)]
    return [key for key in live if key.live(now)][-(KEYS_LIMIT - 1) :]


def _until(key: _Key, at: datetime) -> _Key:
    retired_at = at if key.retired_at is None else min(at, key.retired_at)
    return replace(key, retired_at=retired_at)


def _with_status(partner: Partner, status: PartnerStatus) -> Partner:
    return partner if partner.status is status else _changed(replace(partner, status=status))


def _changed(partner: Partner) -> Partner:
    """One version on: the store refuses whoever changed an older one."""
    return replace(partner, version=partner.version + 1)
