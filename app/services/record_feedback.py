"""A partner says what it did with an item."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.errors import Contested
from app.ports import SaveNotice
from app.services.house import House
from app.services.scrub_case import ScrubCase
from partners.errors import UnknownPartner
from partners.feedback import accept
from partners.model import Feedback, Notice, NoticeId, Partner, Word


@dataclass(frozen=True, slots=True)
class RecordFeedback:
    """Keep the newest word; erase our hashes when the last partner has forgotten."""

    house: House
    scrub: ScrubCase

    def __call__(self, partner: Partner, notice_id: NoticeId, feedback: Feedback) -> Notice:
        """The notice after it. Raises UnknownPartner, FeedbackRefused or Contested."""
        for _ in range(10):
            try:
                notice = self._once(partner, notice_id, feedback)
                break
            except Contested:
                continue
        else:
            raise Contested
        if feedback.word is Word.WITHDRAWN_DONE:
            self.scrub.once_forgotten(notice.case_id)
        return notice

    def _once(self, partner: Partner, notice_id: NoticeId, feedback: Feedback) -> Notice:
        notice = own_notice(self.house, partner, notice_id)
        changed = accept(notice, feedback)
        if changed is not notice:
            self.house.store.commit(SaveNotice(changed))
        return changed


def own_notice(house: House, partner: Partner, notice_id: NoticeId) -> Notice:
    """The partner's notice of that id. Another's is as unknown to it as none at all."""
    notice = house.store.notice(notice_id)
    if notice is None or notice.partner_id != partner.id:
        raise UnknownPartner
    return notice
