"""What a change is in DynamoDB: one action on one row, with the condition under which it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from app.adapters.dynamodb import keys, rows
from app.adapters.dynamodb.keys import Key, Sequence, Shards
from app.adapters.dynamodb.rows import Row, Value, key_row, value
from app.domain.errors import AgeTokenSpent, CaseKeyTaken, Contested, ReportRemoveError
from app.ports import (
    AddAudit,
    AddCase,
    AddEvent,
    AddMessage,
    AddNotice,
    Change,
    CloseEvent,
    PutItem,
    Remember,
    SaveCase,
    SaveMessage,
    SaveNotice,
    SavePartner,
    SpendToken,
)
from partners.model import CaseId, Message, Partner

STAMP: Final = "stamp"  # who wrote a row last: by it a writer knows its own work again

NEW: Final = "attribute_not_exists(pk)"


@dataclass(frozen=True, slots=True)
class Action:
    """One write. Refused as `refusal`; where that is None it is left out of its unit instead.

    One that `leads` takes its group with it when it is left out. One that may go `ahead` of its
    unit means nothing alone.
    """

    verb: str  # Put, Update or Delete
    key: Key
    request: Mapping[str, Any]
    refusal: type[ReportRemoveError] | None = None
    group: int | None = None
    leads: bool = False
    ahead: bool = False
    repeatable: bool = False  # of two in one unit the first is enough


@dataclass(slots=True)
class _Terms:
    """The names and values that an expression stands for."""

    names: dict[str, str] = field(default_factory=dict)
    values: Row = field(default_factory=dict)

    def name(self, name: str) -> str:
        known = next((place for place, stands in self.names.items() if stands == name), None)
        place = known or f"#{len(self.names)}"
        self.names[place] = name
        return place

    def value(self, attribute: Any) -> str:
        place = f":{len(self.values)}"
        self.values[place] = attribute
        return place

    def filled(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.names:
            request["ExpressionAttributeNames"] = self.names
        if self.values:
            request["ExpressionAttributeValues"] = self.values
        return request


def put(
    row: Row,
    condition: str | Mapping[str, Value] | None = None,
    refusal: type[ReportRemoveError] | None = None,
    **marks: Any,
) -> Action:
    """A whole row, under NEW, under values that must be stored, or under nothing."""
    terms = _Terms()
    request: dict[str, Any] = {"Item": row}
    if condition is not None:
        request["ConditionExpression"] = _condition(condition, terms)
    return Action("Put", rows.key_of(row), terms.filled(request), refusal, **marks)


def update(
    key: Key,
    changed: Mapping[str, Any],
    condition: str | Mapping[str, Value] | None = None,
    refusal: type[ReportRemoveError] | None = None,
    *,
    add: Mapping[str, Any] | None = None,
    **marks: Any,
) -> Action:
    """Some attributes of a row: set, removed where None, or added to."""
    terms = _Terms()
    sets = [f"{terms.name(n)} = {terms.value(v)}" for n, v in changed.items() if v is not None]
    gone = [terms.name(n) for n, v in changed.items() if v is None]
    more = [f"{terms.name(n)} {terms.value(v)}" for n, v in (add or {}).items()]
    parts = (("SET", sets), ("REMOVE", gone), ("ADD", more))
    request: dict[str, Any] = {
        "Key": key_row(key),
        "UpdateExpression": " ".join(f"{word} {', '.join(some)}" for word, some in parts if some),
    }
    if condition is not None:
        request["ConditionExpression"] = _condition(condition, terms)
    return Action("Update", key, terms.filled(request), refusal, **marks)


def delete(key: Key, condition: Mapping[str, Value] | None = None, **marks: Any) -> Action:
    """A row's end, under values that must be stored or whatever it holds."""
    terms = _Terms()
    request: dict[str, Any] = {"Key": key_row(key)}
    if condition is not None:
        request["ConditionExpression"] = _condition(condition, terms)
    return Action("Delete", key, terms.filled(request), **marks)


def stamped(action: Action, stamp: bytes) -> dict[str, Any]:
    """The request of an action, with its writer's stamp in the row. No table is named yet."""
    request = dict(action.request)
    if "ConditionExpression" in request:
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if action.verb == "Put":
        request["Item"] = {**request["Item"], STAMP: {"B": stamp}}
    elif action.verb == "Update":
        expression = request["UpdateExpression"]
        new = f"SET {STAMP} = :{STAMP}"
        request["UpdateExpression"] = (
            f"{new}, {expression[4:]}" if expression.startswith("SET ") else f"{new} {expression}"
        )
        values = request.get("ExpressionAttributeValues", {})
        request["ExpressionAttributeValues"] = {**values, f":{STAMP}": {"B": stamp}}
    return request


def _condition(condition: str | Mapping[str, Value], terms: _Terms) -> str:
    if isinstance(condition, str):
        return condition
    return " AND ".join(
        f"{terms.name(name)} = {terms.value(value(stored))}"
        if stored is not None
        else f"attribute_not_exists({terms.name(name)})"
        for name, stored in condition.items()
    )


class Translator:
    """Changes as actions. One for a store: it numbers what is made."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self._sequence = Sequence()

    def unit(self, changes: Iterable[Change]) -> list[Action]:
        """The actions of a unit, in the order of its changes, each row changed once.

        Raises what the second of two changes to one row would be refused as.
        """
        changes = list(changes)
        found = [action for change in changes for action in self._actions(change)]
        partners = [change.partner for change in changes if isinstance(change, SavePartner)]
        return _distinct([*found, *self._lists(changes), *roster(partners)])

    def _actions(self, change: Change) -> list[Action]:  # noqa: C901 - one line for each kind
        shards = self.shards
        match change:
            case AddCase(case):
                return [
                    put(_case_key(case.key_tag, case.id), NEW, CaseKeyTaken, ahead=True),
                    put(rows.case_item(case, shards), NEW, CaseKeyTaken),
                ]
            case SaveCase(case):
                guard = {"version": case.version - 1}
                return [put(rows.case_item(case, shards), guard, Contested)]
            case PutItem(item):
                return [put(rows.item_item(item))]
            case SpendToken():
                return [put(rows.token_item(change, shards), NEW, AgeTokenSpent)]
            case Remember(remembered):
                return [put(rows.answer_item(remembered, shards), NEW, Contested)]
            case AddAudit(entry):
                return [put(rows.audit_item(entry, shards), NEW, Contested)]
            case AddEvent(event):
                row = rows.event_item(event, shards, self._sequence.next())
                return [put(row, NEW, Contested)]
            case CloseEvent(event_id):
                return [delete(keys.event(event_id), repeatable=True)]
            case AddNotice(notice):
                return [put(rows.notice_item(notice, shards), NEW, repeatable=True)]
            case SaveNotice(notice):
                guard = {"version": notice.version - 1}
                return [put(rows.notice_item(notice, shards), guard, Contested)]
            case AddMessage(message):
                row = rows.message_item(message, shards, self._sequence.next())
                return [put(row, NEW, repeatable=True)]
            case SaveMessage(message):
                return [self._save_message(message)]
            case SavePartner(partner):
                return [_save_partner(partner)]
        assert_never(change)

    def _save_message(self, message: Message) -> Action:
        """All but its place in the order of making."""
        changed = {**rows.message_row(message), **self.message_places(message)}
        return update(keys.message(message.id), changed, {"claim": message.claim - 1}, Contested)

    def message_places(self, message: Message) -> Row:
        """Its places in the indexes, which follow its state and time."""
        roll = value(keys.roll(message.partner_id, message.state))
        return {**rows.due_place(message, self.shards), "roll": roll}

    def _lists(self, changes: list[Change]) -> list[Action]:
        """For each case the names of its notices of this unit: an index would come too late."""
        names: dict[CaseId, list[str]] = {}
        for change in changes:
            if isinstance(change, AddNotice):
                names.setdefault(change.notice.case_id, []).append(change.notice.id)
        return [
            put(notice_list(keys.notices(case_id, self._sequence.next()), some), ahead=True)
            for case_id, some in names.items()
        ]


def notice_list(key: Key, names: Iterable[str]) -> Row:
    """The names of some notices of a case."""
    return {**key_row(key), "names": {"SS": list(dict.fromkeys(names))}}


def _case_key(tag: bytes, case_id: CaseId) -> Row:
    return {**key_row(keys.case_key(tag)), "case_id": value(case_id)}


def _save_partner(partner: Partner) -> Action:
    row = rows.partner_item(partner)
    return put(row, NEW if partner.version == 1 else {"version": partner.version - 1}, Contested)


def roster(partners: Iterable[Partner]) -> list[Action]:
    """The versions of partners, by which readers know whether they have the newest."""
    versions = {str(partner.id): value(partner.version) for partner in partners}
    return [update(keys.ROSTER, versions, ahead=True)] if versions else []


def _distinct(actions: list[Action]) -> list[Action]:
    """A transaction may touch a row once."""
    first: dict[Key, Action] = {}
    for action in actions:
        known = first.setdefault(action.key, action)
        if known is action or (action.repeatable and known.repeatable):
            continue
        if action.refusal is not None or known.refusal is not None:
            raise action.refusal or Contested
        first[action.key] = action  # an item put twice: the last stands
    return list(first.values())
