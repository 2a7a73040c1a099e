"""Yoti's Age Verification Service, sessions of type UNDER. IT HAS NEVER MET THE REAL ONE.

Written against Yoti's public pages (developers.yoti.com/age-verification: 'create a session',
'results', read in November 2026) and tested on a stand-in that answers in the shapes shown there.
It takes a contract, an SDK id and an API key; try it in Yoti's sandbox before anything else.

Yoti gives no name for a person that stays the same, so the limit of a day counts sessions here, not
persons: who passes the check again gets a new grant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

from infra.broker.errors import NoPass, NotYet, Word
from infra.broker.grants import Person
from infra.broker.issuance import Predicate
from infra.broker.providers.fetching import Unusable, json_object, narrow
from infra.broker.providers.port import Away

BASE = "https://age.yoti.com"
TTL = 600  # seconds for the whole check, as long as our own memory of it
# One way for each predicate, so that a signature says what was done.
METHODS = {Predicate.DOCUMENT: "doc_scan", Predicate.ESTIMATE: "age_estimation"}
_OTHERS = ("digital_id", "credit_card", "mobile", "login")
_SESSION = re.compile(r"[A-Za-z0-9-]{8,64}")
_STILL = ("PENDING", "IN_PROGRESS")
_ENDS = {"CANCELLED": Word.CANCELLED, "EXPIRED": Word.ENDED, "FAIL": Word.REFUSED}
_FAULTS = (requests.RequestException, Unusable, ValueError)


@dataclass(frozen=True, slots=True)
class YotiClient:
    """Our account there, and where the browser comes back to."""

    sdk_id: str
    api_key: str = field(repr=False)
    threshold: int
    return_url: str
    cancel_url: str
    base: str = BASE


class YotiProvider:
    """One session a person: made at the start, its result asked for at the return."""

    def __init__(self, name: str, predicate: Predicate, client: YotiClient) -> None:
        self.name = name
        self.predicate = predicate
        parts = urlsplit(client.base)
        self.goes_to: tuple[str, ...] = (f"{parts.scheme}://{parts.netloc}",)
        self._client = client
        self._method = METHODS[predicate]

    def start(self, form: Mapping[str, str]) -> Away:
        try:
            session = self._ask("POST", "/api/v1/sessions", self._wish())["id"]
        except (*_FAULTS, KeyError) as fault:
            raise NoPass(Word.UNAVAILABLE) from fault
        if not isinstance(session, str) or not _SESSION.fullmatch(session):
            raise NoPass(Word.UNAVAILABLE)
        query = urlencode({"sessionId": session, "sdkId": self._client.sdk_id})
        return Away(f"{self._client.base}?{query}", {"session": session})

    def finish(self, kept: Mapping[str, str], query: Mapping[str, str]) -> Person:
        """`query` is not read: which session it is, our own memory says."""
        session = kept["session"]
        try:
            answer = self._ask("GET", f"/api/v1/sessions/{session}/result")
        except _FAULTS as fault:
            raise NoPass(Word.UNAVAILABLE) from fault
        status = answer.get("status")
        if status in _STILL:
            raise NotYet
        if not self._is_under(answer, session):
            raise NoPass(_ENDS.get(str(status), Word.REFUSED))
        return Person(session)

    def _is_under(self, answer: Mapping[str, Any], session: str) -> bool:
        """COMPLETE means 'passed' only for what we asked: this session, UNDER, our age, our way."""
        age = answer.get("age")
        return (
            answer.get("status") == "COMPLETE"
            and answer.get("type") == "UNDER"
            and answer.get("id") == session
            and answer.get("method") == self._method.upper()
            and type(age) is int
            and age == self._client.threshold
            # Not among the documented members; were it there, nothing but true would do.
            and answer.get("result", True) is True
        )

    def _wish(self) -> dict[str, Any]:
        return {
            "type": "UNDER",
            "ttl": TTL,
            "synchronous_checks": True,
            "retry_enabled": True,
            "callback": {"auto": True, "url": self._client.return_url},
            "cancel_url": self._client.cancel_url,
            **{way: {"allowed": False} for way in (*METHODS.values(), *_OTHERS)},
            self._method: {
                "allowed": True,
                "threshold": self._client.threshold,
                "level": "PASSIVE",
            },
        }

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {self._client.api_key}",
            "Yoti-SDK-Id": self._client.sdk_id,
        }
        with requests.Session() as session:
            narrow(session)
            url = self._client.base + path
            return json_object(session.request(method, url, json=body, headers=headers))
