"""A partner says what it did with an item."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.audit import Action, Actor
from app.ports import SaveNotice
from app.services.house import House, insist
from app.services.scrub_case import ScrubCase
from partners.errors import UnknownPartner
from partners.feedback import accept
from partners.model import Feedback, Notice, NoticeId, Partner, Word


@dataclass(frozen=True, slots=True)
class RecordFeedback:
    """Keep the newest word on the notice and every word in the case's audit chain.

    Our hashes are erased when the last partner has forgotten.
    """

    house: House
    scrub: ScrubCase

    def __call__(self, partner: Partner, notice_id: NoticeId, feedback: Feedback) -> Notice:
        """The notice after it. Raises UnknownPartner, FeedbackRefused or Contested."""
        notice = insist(lambda: self._once(partner, notice_id, feedback))
        if feedback.word is Word.WITHDRAWN_DONE:
            self.scrub.once_forgotten(notice.case_id)
        return notice

    def _once(self, partner: Partner, notice_id: NoticeId, feedback: Feedback) -> Notice:
        house = self.house
        notice = own_notice(house, partner, notice_id)
        changed = accept(notice, feedback)
        if changed is notice:
            return notice
        case = house.store.case(notice.case_id)
        if case is None:
            raise UnknownPartner  # it was purged since the notice was read
        reason = f"{feedback.word} {notice.id}"
        house.store.commit(
            SaveNotice(changed), *house.audited(case, Actor.PARTNER, Action.FEEDBACK, reason)
        )
        return changed


def own_notice(house: House, partner: Partner, notice_id: NoticeId) -> Notice:
    """The partner's notice of that id. Another's is as unknown to it as none at all."""
    notice = house.store.notice(notice_id)
    if notice is None or notice.partner_id != partner.id:
        raise UnknownPartner
    return notice
