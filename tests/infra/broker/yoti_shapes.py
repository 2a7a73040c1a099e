"""Answers in the shapes of Yoti's public pages (developers.yoti.com/age-verification/results).

Written down from those pages in November 2026; none came from the real service.
"""

from __future__ import annotations

from typing import Any

SDK_ID = "5d3add31-3a3a-4d3b-a6b4-347edb35264c"
SESSION = "14010f56-3f04-4f1f-84e7-a43ff723ef86"
_WAYS = (
    *("age_estimation", "digital_id", "doc_scan", "credit_card", "mobile", "login", "age_key"),
    *("la_wallet", "social_security_number", "us_florida_hb3", "double_anonymity"),
)


def created() -> dict[str, Any]:
    """The answer to `POST /api/v1/sessions`."""
    return {"id": SESSION, "status": "PENDING", "expires_at": "2026-11-22T04:09:34Z"}


def result(status: str, /, **changes: Any) -> dict[str, Any]:
    """The answer to `GET /api/v1/sessions/ID/result`; `...` leaves a member out."""
    way = {"threshold": 18, "allowed": True, "level": "PASSIVE", "authenticity": "AUTO"}
    off = {"threshold": 0, "allowed": False, "level": "", "authenticity": ""}
    members: dict[str, Any] = {
        "sdk_id": SDK_ID,
        "account_id": "",
        "callback_url": "",
        "callback": {"url": "", "auto": True},
        "notification_url": "",
        "cancel_url": "",
        "type": "UNDER",
        **{name: off | {"attempts": 0, "attempts_remaining": 0} for name in _WAYS},
        "age_estimation": way | {"attempts": 1, "attempts_remaining": 0},
        "electronic_id": {"threshold": 0, "allowed": False, "sub_methods": None},
        "status": status,
        "reference_id": "",
        "created_at": "2026-11-22T03:54:34.739262Z",
        "expires_at": "2026-11-22T04:04:34.739262Z",
        "updated_at": "2026-11-22T03:55:45.426737Z",
        "id": SESSION,
        "biometric_consent_required": True,
        "rule_id": "",
        "retry_enabled": True,
        "resume_enabled": True,
        "blocked_locations": [],
        "biometric_consent_given_at": "",
        "terminal_id": "",
        "synchronous_checks": True,
    }
    if status not in ("PENDING", "IN_PROGRESS"):
        members |= {"age": 18, "method": "AGE_ESTIMATION"}
        members["evidence_id"] = "4786ecb7-c10c-4037-9947-aaa6507e7414"
    members |= changes
    return {name: value for name, value in members.items() if value is not ...}
