"""Every use case, wired: what the web and the worker are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.deadlines import DeadlinePolicy
from app.ports import AgeVerifier
from app.services.add_to_case import AddToCase
from app.services.build_payload import BuildPayload
from app.services.expand_event import ExpandEvents
from app.services.house import House
from app.services.manage_endpoints import ManageEndpoints
from app.services.manage_partners import ManagePartners
from app.services.mark_late import MarkLate
from app.services.measure_queue import MeasureQueue
from app.services.messages import PullMessages, ReplayMessages
from app.services.open_case import OpenCase
from app.services.purge_expired import PurgeExpired
from app.services.record_feedback import RecordFeedback
from app.services.submit_report import SubmitReport
from app.services.withdraw_case import WithdrawCase
from app.services.withdraw_item import WithdrawItem


@dataclass(frozen=True, slots=True)
class Services:
    """One field a use case."""

    house: House
    verifiers: Mapping[str, AgeVerifier]
    policies: Mapping[str, DeadlinePolicy]
    submit_report: SubmitReport
    open_case: OpenCase
    add_to_case: AddToCase
    withdraw_case: WithdrawCase
    withdraw_item: WithdrawItem
    record_feedback: RecordFeedback
    build_payload: BuildPayload
    pull_messages: PullMessages
    replay_messages: ReplayMessages
    expand_events: ExpandEvents
    mark_late: MarkLate
    purge_expired: PurgeExpired
    manage_partners: ManagePartners
    manage_endpoints: ManageEndpoints
    measure_queue: MeasureQueue
