"""Settings become adapters, adapters become use cases: the file that chooses."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.adapters import file_keys
from app.adapters.age.attested import CounsellorAttested
from app.adapters.age.declared import DeclaredAge
from app.adapters.age.issuers import BadIssuers, IssuerFile, load
from app.adapters.age.jwt_age import JwtAge
from app.adapters.age.privacy_pass import PrivacyPass
from app.adapters.age.sdjwt_age import SdJwtAge
from app.adapters.sqlite.store import SqliteStore
from app.adapters.system import OneProcessor, RandomIds, SystemClock
from app.domain.deadlines import BadPolicies, DeadlinePolicy, read_policies
from app.domain.errors import StoreUnavailable
from app.domain.report import Intake
from app.domain.retention import Retention
from app.observability import Journal, LogEvent, Metrics
from app.ports import AgeVerifier, News, Queue, Store
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
from app.services.withdraw_item import WithdrawItem
from app.settings import PREFIX, Settings
from app.worker import Bell, Worker
from hashing.denylist import SHIPPED, load_denylist
from hashing.errors import HashError
from partners.delivery import DeliveryEngine, DeliverySettings
from partners.egress import EgressGuard
from partners.gate import Gate, GateSettings
from partners.model import PartnerId
from partners.ports import Clock, KeyRing, Purpose, Reply
from partners.scribe import Scribe
from partners.sealing import Signer
from partners.signing import PrivateKey

if TYPE_CHECKING:
    from limits.storage import Storage

    from app.adapters.kms_keys import KeyChest
    from app.web.context import Context

# What only some programs need is imported where it is chosen: libcurl, Flask and boto3 cost a
# function's cold start, and boto3 a second of ./run.

DATABASE = "report-remove.db"
ROOT_KEY = "root.key"
MDOC = "mdoc-age-v1"

# A transaction on DynamoDB takes longer than a commit on disk, and is one call for all its answers.
_PACE = {"sqlite": DeliverySettings(), "dynamodb": DeliverySettings(gather=0.05)}


class StartRefused(Exception):
    """The service must not start like this; `problems` names each fault."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Foundation:
    """The use cases over a store, and where it is told what happens: what every program needs."""

    settings: Settings
    services: Services
    metrics: Metrics
    journal: Journal

    @property
    def store(self) -> Store:
        """What the use cases work on."""
        return self.services.house.store


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that runs, how to start it and how to stop it."""

    settings: Settings
    services: Services
    context: Context
    worker: Worker
    store: Store
    processor: OneProcessor | None

    def start(self) -> None:
        """Start the worker; the threads that serve are there by now, and go where all go."""
        if self.processor:
            self.processor.keep()
        self.worker.start()

    def close(self) -> bool:
        """Stop the worker, then the store. True if all that was in hand was finished."""
        drained = self.worker.stop()
        self.store.close()
        return drained


def build(settings: Settings, clock: Clock | None = None) -> Runtime:
    """Wire everything. Raises StartRefused; nothing listens or is posted before it is started."""
    bell = Bell()
    base = foundation(settings, bell.ring, clock)
    with _closing_if_refused(base.store):
        context = web_context(base)
        processor = OneProcessor.drawn() if settings.processors == "one" else None
        signer = base.services.manage_partners.signer
        scribe = Scribe(signer, processor.send_away) if processor else Scribe(signer)
        # The sender holds descriptors from here on: nothing that can be refused comes after it.
        worker = Worker(base.services, engine(base, scribe), bell, base.metrics, base.journal)
    return Runtime(settings, base.services, context, worker, base.store, processor)


def foundation(
    settings: Settings,
    announce: Callable[[News], None] = lambda _: None,
    clock: Clock | None = None,
    *,
    takes_reports: bool = True,
) -> Foundation:
    """Every use case. Raises StartRefused.

    A program that takes no reports is given no age profiles, and needs no issuers.
    """
    metrics = Metrics()
    journal = Journal(metrics, sys.stderr)
    keys = _keys(settings)
    clock = clock or SystemClock()
    policies = _policies(settings.deadlines_file)
    verifiers = _verifiers(settings, keys, clock, journal) if takes_reports else {}
    intake = _intake(settings)
    store = _store(settings, announce)
    with _closing_if_refused(store):
        _check_policies(store, policies)
        retention = Retention(settings.case_keep, settings.withdrawal_limit, settings.scrubbed_keep)
        house = House(store, keys, clock, RandomIds(), intake, retention)
        services = _services(settings, house, verifiers, policies, journal, metrics)
    return Foundation(settings, services, metrics, journal)


@contextmanager
def _closing_if_refused(store: Store) -> Iterator[None]:
    """Whatever fails in here: the store is given to nobody, so it is closed."""
    try:
        yield
    except BaseException:
        store.close()
        raise


def engine(base: Foundation, scribe: Scribe | None = None) -> DeliveryEngine:
    """What posts to partners; with a scribe if it lives long enough to have a backlog."""
    from partners.sender import CurlSender

    services, settings = base.services, base.settings
    watch = WatchDelivery(services.manage_partners, services.mark_late, base.metrics, base.journal)
    signer = services.manage_partners.signer
    return DeliveryEngine(
        base.store,
        base.store,
        services.build_payload,
        services.house.keys,
        CurlSender(EgressGuard(settings.allow_loopback_partners)),
        Gate(GateSettings(senders=settings.senders), on_change=watch.breaker_changed),
        services.house.clock,
        observer=watch,
        signer=signer,
        origin=settings.public_url,
        scribe=scribe,
        settings=_PACE[settings.store],
    )


def web_context(base: Foundation) -> Context:
    """What the views may reach."""
    from app.web.context import Context

    counters = _counters(base.settings)
    return Context(base.services, base.settings, base.metrics, base.journal, counters)


def queue(settings: Settings) -> Queue:
    """What wakes senders in other processes. Raises StartRefused if no queues are named."""
    from app.adapters.sqs import SqsQueue

    if not (settings.first_queue and settings.retry_queue):
        raise StartRefused(f"{PREFIX}FIRST_QUEUE and {PREFIX}RETRY_QUEUE are not set")
    return SqsQueue(_client("sqs"), settings.first_queue, settings.retry_queue)


def chest(settings: Settings) -> KeyChest:
    """Where KMS's root keys are made and kept. Raises StartRefused."""
    from app.adapters.kms_keys import KeyChest

    return KeyChest(_client("kms"), _client("secretsmanager"), settings.keys_secret)


@contextmanager
def refusing_keys() -> Iterator[None]:
    """What KMS's root keys are refused for, as StartRefused."""
    from app.adapters.kms_keys import KeysRefused

    try:
        yield
    except KeysRefused as fault:
        raise StartRefused(f"the root keys: {fault}") from None


@contextmanager
def refusing_key_file(path: Path) -> Iterator[None]:
    """What that root-key file is refused for, as StartRefused that names it."""
    try:
        yield
    except file_keys.KeyFileRefused as fault:
        raise StartRefused(f"{path}: {fault}") from None


def check_begun(settings: Settings) -> None:
    """That there is a database, for who would rather not begin one. Raises StartRefused.

    A table of DynamoDB is never begun here.
    """
    if settings.store == "sqlite" and not os.access(settings.data_dir / DATABASE, os.F_OK):
        folder = settings.data_dir.absolute()
        raise StartRefused(
            f"no service's data is to be seen in {folder}: {PREFIX}DATA_DIR says where it is"
        )


def make_folder(data_dir: Path) -> None:
    """The folder, this user's alone, if it is not there. Raises StartRefused."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise StartRefused(f"{data_dir} cannot be made: {fault.strerror}") from None


def _keys(settings: Settings) -> KeyRing:
    if settings.keys == "file":
        return _keys_of_file(settings.data_dir)
    from app.adapters.kms_keys import KmsKeyRing

    with refusing_keys():
        return KmsKeyRing(chest(settings))


def _keys_of_file(data_dir: Path) -> KeyRing:
    """The key ring; a root key is made on the very first start and never again."""
    path = data_dir / ROOT_KEY
    make_folder(data_dir)
    was_sealed = (data_dir / DATABASE).exists()  # asked first: the key is made before it
    if not path.exists():
        if was_sealed:
            raise StartRefused(f"{path} is missing beside a database that was sealed with it")
        with suppress(FileExistsError):  # another process of ours was a moment faster
            file_keys.create_root_key(path)
    with refusing_key_file(path):
        return file_keys.FileKeyRing(path)


def _store(settings: Settings, announce: Callable[[News], None]) -> Store:
    try:
        if settings.store == "sqlite":
            make_folder(settings.data_dir)
            return SqliteStore(settings.data_dir / DATABASE, announce)
        return _dynamo_store(settings, announce)
    except StoreUnavailable as fault:
        raise StartRefused(f"the database cannot be opened: {fault}") from None


def _dynamo_store(settings: Settings, announce: Callable[[News], None]) -> Store:
    from app.adapters.dynamodb.store import DynamoStore

    # The store tries again by itself.
    dynamodb = _client("dynamodb", tries=1)
    return DynamoStore(
        dynamodb,
        settings.table,
        announce,
        keep_attempts=settings.attempt_keep,
        shards=settings.shards,
    )


def _client(service: str, **more: Any) -> Any:
    from app.adapters.aws import PlaceUnknown, client

    try:
        return client(service, **more)
    except PlaceUnknown as fault:
        raise StartRefused(str(fault)) from None


def _counters(settings: Settings) -> Storage | None:
    """Where requests are counted for all processes, or None: each for itself."""
    if settings.limits == "memory":
        return None
    from app.adapters.dynamodb_limits import SCHEME, DynamoWindows

    return DynamoWindows(f"{SCHEME}://{settings.limits_table}", _client("dynamodb"))


def _policies(path: Path | None) -> dict[str, DeadlinePolicy]:
    path = path or Path(__file__).with_name("deadlines.toml")
    try:
        return read_policies(tomllib.loads(path.read_text()))
    except (BadPolicies, tomllib.TOMLDecodeError, OSError) as fault:
        raise StartRefused(f"{path}: {fault}") from None


def _check_policies(store: Store, policies: Mapping[str, DeadlinePolicy]) -> None:
    """One partner without its policy would stop every report on its way out."""
    try:
        missing = sorted({p.deadline_policy for p in store.partners()} - policies.keys())
    except StoreUnavailable as fault:
        raise StartRefused(f"the partners cannot be read: {fault}") from None
    if missing:
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
        known[SdJwtAge.profile] = SdJwtAge(issuers, secret, clock)
        known[CounsellorAttested.profile] = CounsellorAttested(issuers, clock)
        if MDOC in settings.age_profiles:
            known[MDOC] = _mdoc(issuers, secret, clock)
    made = {profile: known[profile] for profile in settings.age_profiles if profile in known}
    if not made:
        raise StartRefused("no age profile can be offered: token profiles need AGE_ISSUERS_FILE")
    return made


def _mdoc(issuers: IssuerFile, secret: bytes, clock: Clock) -> AgeVerifier:
    """The one verifier with a library of its own, which an operator installs to use it."""
    try:
        from app.adapters.age.mdoc_age import MdocAge
    except ImportError:
        raise StartRefused(f"{MDOC} needs the package openvc-core (docs/AGE.md)") from None
    return MdocAge(issuers, secret, clock)


def check_issuers(path: Path) -> int:
    """How many entries of that issuer file count. Raises StartRefused with every problem of it."""
    try:
        return load(path).entries
    except BadIssuers as fault:
        raise StartRefused(*fault.problems) from None


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
        withdraw_item=WithdrawItem(house),
        record_feedback=RecordFeedback(house, scrub),
        build_payload=BuildPayload(house, policies, settings.public_url),
        pull_messages=PullMessages(house),
        replay_messages=ReplayMessages(house),
        expand_events=ExpandEvents(house, ExpandEvent(house, policies), scrub),
        mark_late=MarkLate(house, tell),
        purge_expired=PurgeExpired(house, scrub, settings.attempt_keep, settings.audit_keep),
        manage_partners=ManagePartners(house, policies, guard, signer, settings.public_url),
        manage_endpoints=ManageEndpoints(house, guard, _CurlWhenAsked(guard), settings.public_url),
        measure_queue=MeasureQueue(house, metrics),
    )


@dataclass(frozen=True, slots=True)
class _CurlWhenAsked:
    """Gives partners.ports.Caller: libcurl is loaded when an endpoint is first asked something."""

    guard: EgressGuard

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """As `CurlCaller.ask`."""
        from partners.sender import CurlCaller

        return CurlCaller(self.guard).ask(method, url, headers, body)
