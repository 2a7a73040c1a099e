"""The broker put together from its configuration: signer, keys, providers, database."""

from __future__ import annotations

import secrets

from infra.broker.configuration import Configuration, KeyEntry, ProviderEntry, SignerEntry
from infra.broker.days import DayBook
from infra.broker.desk import Desk, utc_now
from infra.broker.errors import SignerUnavailable, StartRefused
from infra.broker.held import Clock
from infra.broker.issuance import IssuerKey, KeyRing, check_type, problems_of
from infra.broker.journal import Journal
from infra.broker.providers.development import DevelopmentProvider
from infra.broker.providers.oidc import OidcClient, OidcProvider
from infra.broker.providers.port import Provider
from infra.broker.providers.yoti import YotiClient, YotiProvider
from infra.broker.signers.development import DevelopmentSigner
from infra.broker.signers.pkcs11 import Pkcs11Signer
from infra.broker.signers.port import BlindSigner, sign


def open_signer(entry: SignerEntry) -> BlindSigner:
    """The signer of the configuration. Raises StartRefused."""
    if entry.kind == "development":
        return DevelopmentSigner(entry.folder)
    return Pkcs11Signer(entry.module, entry.token, entry.pin)


def load_key(signer: BlindSigner, entry: KeyEntry) -> IssuerKey:
    """A key of the configuration, which has just signed something. Raises StartRefused."""
    public = signer.public(entry.label)
    check_type(*public)
    key = IssuerKey(entry.label, entry.predicate, public.modulus, entry.not_before_at)
    try:
        sign(signer, key, 2 + secrets.randbelow(public.modulus - 3))
    except SignerUnavailable:
        raise StartRefused(["key: the signer cannot sign with it"]) from None
    return key


def load_keys(signer: BlindSigner, configuration: Configuration) -> list[IssuerKey]:
    """Every key of the configuration. Raises StartRefused with all that is wrong with them."""
    keys: list[IssuerKey] = []
    problems: list[str] = []
    for place, entry in enumerate(configuration.keys, 1):
        try:
            keys.append(load_key(signer, entry))
        except StartRefused as refused:
            problems += [f"key {place}: {problem}" for problem in refused.problems]
    problems += problems_of(keys)
    problems += _without_key(configuration)
    if problems:
        raise StartRefused(problems)
    return keys


def assemble(
    configuration: Configuration, journal: Journal, clock: Clock = utc_now
) -> tuple[Desk, DayBook]:
    """The desk, and the database to close at the end. Raises StartRefused."""
    signer = open_signer(configuration.signer)
    keys = load_keys(signer, configuration)
    days = DayBook(configuration.database)
    providers = make_providers(configuration)
    ring, limits = KeyRing(keys), configuration.limits
    return Desk(ring, signer, providers, days, limits, journal, clock), days


def make_providers(configuration: Configuration) -> dict[str, Provider]:
    """Every provider of the configuration by its name. None is asked anything yet."""
    return {entry.name: _provider(entry, configuration) for entry in configuration.providers}


def return_url(configuration: Configuration, provider: str) -> str:
    """Where a provider sends browsers back to."""
    return f"{configuration.public_url}/providers/{provider}/return"


def _provider(entry: ProviderEntry, configuration: Configuration) -> Provider:
    back = return_url(configuration, entry.name)
    if entry.kind == "oidc":
        client = OidcClient(return_url=back, **entry.options)
        return OidcProvider(entry.name, entry.predicate, client)
    if entry.kind == "yoti":
        stop = f"{configuration.public_url}/pass?problem=cancelled"
        account = YotiClient(return_url=back, cancel_url=stop, **entry.options)
        return YotiProvider(entry.name, entry.predicate, account)
    return DevelopmentProvider(entry.name, entry.predicate)


def _without_key(configuration: Configuration) -> list[str]:
    signed = {key.predicate for key in configuration.keys}
    return [
        f"provider {place}: no live key says {entry.predicate}"
        for place, entry in enumerate(configuration.providers, 1)
        if entry.predicate not in signed
    ]
