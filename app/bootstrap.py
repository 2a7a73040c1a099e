"""Settings become adapters, adapters become use cases: the only file that chooses."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.adapters.age.declared import DeclaredAge
from app.adapters.age.issuers import BadIssuers, IssuerFile
from app.adapters.age.jwt_age import JwtAge
from app.adapters.age.privacy_pass import PrivacyPass
from app.adapters.file_keys import FileKeyRing, KeyFileRefused, create_root_key
from app.adapters.sqlite.store import SqliteStore
from app.adapters.system import RandomIds, SystemClock
from app.domain.deadlines import BadPolicies, DeadlinePolicy, read_policies
from app.domain.errors import StoreUnavailable
from app.domain.report import Intake
from app.domain.retention import Retention
from app.observability import Journal, LogEvent, Metrics
from app.ports import AgeVerifier, Store
from app.services.add_to_case import AddToCase
from app.services.answers import Answers
from app.services.build_payload import BuildPayload
from app.services.catalogue import Services
from app.services.expand_event import ExpandEvent, ExpandEvents
from app.services.house import House
from app.services.manage_endpoints import ManageEndpoints
from app.services.manage_partners import ManagePartners
from app.services.mark_late import MarkLate
from app.services.measure_queue import MeasureQueue
from app.services.messages import PullMessages, ReplayMessages
from app.services.open_case import OpenCase
from app.services.purge_expired import PurgeExpired
from app.services.record_feedback import RecordFeedback
from app.services.scrub_case import ScrubCase
from app.services.submit_report import SubmitReport
from app.services.watch_delivery import WatchDelivery
from app.services.withdraw_case import WithdrawCase
from app.settings import Settings
from app.web.context import Context
from app.worker import Bell, Worker
from hashing.denylist import SHIPPED, load_denylist
from hashing.errors import HashError
from partners.delivery import DeliveryEngine
from partners.egress import EgressGuard
from partners.gate import Gate
from partners.model import PartnerId
from partners.ports import Clock, KeyRing, Purpose
from partners.scribe import Scribe
from partners.sealing import Signer
from partners.sender import CurlCaller, CurlSender
from partners.signing import PrivateKey

DATABASE = "report-remove.db"
ROOT_KEY = "root.key"


class StartRefused(Exception):
    """The service must not start like this; `problems` names each fault."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that runs, and how to stop it."""

    settings: Settings
    services: Services
    context: Context
    worker: Worker
    store: Store

    def close(self) -> bool:
        """Stop the worker, then the store. True if all that was in hand was finished."""
        drained = self.worker.stop()
        self.store.close()
        return drained


def build(settings: Settings, clock: Clock | None = None) -> Runtime:
    """Wire everything. Raises StartRefused; nothing listens or is posted before it is started."""
    bell = Bell()
    metrics = Metrics()
    journal = Journal(metrics, sys.stderr)
    keys = _keys(settings.data_dir)
    clock = clock or SystemClock()
    policies = _policies(settings.deadlines_file)
    verifiers = _verifiers(settings, keys, clock, journal)
    intake = _intake(settings)
    store = _store(settings.data_dir, bell)
    _check_policies(store, policies)
    retention = Retention(settings.case_keep, settings.withdrawal_limit, settings.scrubbed_keep)
    house = House(store, keys, clock, RandomIds(), intake, retention)
    services = _services(settings, house, verifiers, policies, journal, metrics)
    watch = WatchDelivery(services.manage_partners, services.mark_late, metrics, journal)
    engine = DeliveryEngine(
        store,
        store,
        services.build_payload,
        keys,
        CurlSender(EgressGuard(settings.allow_loopback_partners)),
        Gate(on_change=watch.breaker_changed),
        clock,
        observer=watch,
        signer=services.manage_partners.signer,
        origin=settings.public_url,
        scribe=Scribe(services.manage_partners.signer),
    )
    worker = Worker(services, engine, bell, metrics, journal)
    context = Context(services, settings, metrics, journal)
    return Runtime(settings, services, context, worker, store)


def _keys(data_dir: Path) -> KeyRing:
    """The key ring; a root key is made on the very first start and never again."""
    path = data_dir / ROOT_KEY
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise StartRefused(f"{data_dir} cannot be made: {fault.strerror}") from None
    was_sealed = (data_dir / DATABASE).exists()  # asked first: the key is made before it
    if not path.exists():
        if was_sealed:
            raise StartRefused(f"{path} is missing beside a database that was sealed with it")
        with suppress(FileExistsError):  # another process of ours was a moment faster
            create_root_key(path)
    try:
        return FileKeyRing(path)
    except KeyFileRefused as fault:
        raise StartRefused(f"{path}: {fault}") from None


def _store(data_dir: Path, bell: Bell) -> Store:
    try:
        return SqliteStore(data_dir / DATABASE, bell.ring)
    except StoreUnavailable as fault:
        raise StartRefused(f"the database cannot be opened: {fault}") from None


def _policies(path: Path | None) -> dict[str, DeadlinePolicy]:
    path = path or Path(__file__).with_name("deadlines.toml")
    try:
        return read_policies(tomllib.loads(path.read_text()))
    except (BadPolicies, tomllib.TOMLDecodeError, OSError) as fault:
        raise StartRefused(f"{path}: {fault}") from None


def _check_policies(store: Store, policies: Mapping[str, DeadlinePolicy]) -> None:
    """One partner without its policy would stop every report on its way out."""
    missing = sorted({p.deadline_policy for p in store.partners()} - policies.keys())
    if missing:
        store.close()
        raise StartRefused(*(f"a partner has the deadline policy {m}, unknown" for m in missing))


def _intake(settings: Settings) -> Intake:
    path = settings.denylist_file or SHIPPED
    try:
        denylist = load_denylist(path)
    except (HashError, OSError) as fault:
        raise StartRefused(str(fault)) from None
    return Intake(
        denylist, settings.max_items_per_case, settings.max_hashes_per_item, settings.take_locations
    )


def _verifiers(
    settings: Settings, keys: KeyRing, clock: Clock, journal: Journal
) -> dict[str, AgeVerifier]:
    """The configured profiles in the operator's order; a token profile needs its issuers."""
    known: dict[str, AgeVerifier] = {DeclaredAge.profile: DeclaredAge()}
    if settings.age_issuers_file is not None:
        issuers = _issuers(settings.age_issuers_file, journal)
        secret = keys.tag(Purpose.AGE_WINDOW, b"window")
        known[JwtAge.profile] = JwtAge(issuers, secret, clock)
        known[PrivacyPass.profile] = PrivacyPass(issuers, secret, clock)
    made = {profile: known[profile] for profile in settings.age_profiles if profile in known}
    if not made:
        raise StartRefused("no age profile can be offered: token profiles need AGE_ISSUERS_FILE")
    return made


def _issuers(path: Path, journal: Journal) -> IssuerFile:
    def refused(fault: BadIssuers) -> None:
        journal.note(LogEvent.ISSUERS_REFUSED, problems=len(fault.problems))

    try:
        return IssuerFile(path, refused)
    except BadIssuers as fault:
        raise StartRefused(*(f"{path}: {problem}" for problem in fault.problems)) from None


def _services(
    settings: Settings,
    house: House,
    verifiers: Mapping[str, AgeVerifier],
    policies: Mapping[str, DeadlinePolicy],
    journal: Journal,
    metrics: Metrics,
) -> Services:
    def tell(partner: PartnerId) -> None:
        metrics.late.inc()
        journal.note(LogEvent.DEADLINE_MISSED, partner=partner)

    answers = Answers(house.store, house.keys, house.clock, settings.answer_keep)
    scrub = ScrubCase(house)
    signer = Signer(PrivateKey(house.keys.tag(Purpose.SEALING_SIGNER, b"ed25519 seed")))
    guard = EgressGuard(settings.allow_loopback_partners)
    return Services(
        house=house,
        verifiers=verifiers,
        policies=policies,
        submit_report=SubmitReport(house, answers, verifiers),
        open_case=OpenCase(house),
        add_to_case=AddToCase(house, answers),
        withdraw_case=WithdrawCase(house),
        record_feedback=RecordFeedback(house, scrub),
        build_payload=BuildPayload(house, policies, settings.public_url),
        pull_messages=PullMessages(house),
        replay_messages=ReplayMessages(house),
        expand_events=ExpandEvents(house, ExpandEvent(house, policies), scrub),
        mark_late=MarkLate(house, tell),
        purge_expired=PurgeExpired(house, scrub, settings.attempt_keep, settings.audit_keep),
        manage_partners=ManagePartners(house, policies, guard, signer, settings.public_url),
        manage_endpoints=ManageEndpoints(house, guard, CurlCaller(guard), settings.public_url),
        measure_queue=MeasureQueue(house, metrics),
    )
