"""All of a unit or none of it, once, even when the answer to a write is lost.

A unit of one action is a plain conditional write, any other one transaction. Every attempt at the
same actions carries the same token and stamps the rows it writes: a transaction that took effect is
answered by its token, and a refusal that shows our own stamp is no refusal.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from botocore.exceptions import ClientError

from app.adapters.aws import code_of
from app.adapters.dynamodb.actions import STAMP, Action, delete, stamped
from app.adapters.dynamodb.table import CANCELLED, CONDITION, REFUSED, Table, reasons_of
from app.domain.errors import ReportRemoveError, StoreUnavailable

MOST_ACTIONS: Final = 100  # in one transaction


class Writer:
    """Writes units to a table. Safe from any thread."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def write(self, actions: Sequence[Action]) -> list[Action]:
        """Store a unit, and return the actions that were not left out.

        Raises the refusal of the first action that is refused and must not be, or StoreUnavailable;
        nothing is stored then. ValueError for a unit that no transaction holds.
        """
        if len(actions) <= MOST_ACTIONS:
            return self._all_or_none(list(actions))
        before = [action for action in actions if action.ahead]
        rest = [action for action in actions if not action.ahead]
        if len(rest) > MOST_ACTIONS:
            raise ValueError(f"a unit of {len(rest)} rows, at most {MOST_ACTIONS}")
        return self._after(before, rest)

    def _after(self, before: list[Action], rest: list[Action]) -> list[Action]:
        """What may go ahead goes ahead, and is taken back if the unit is refused."""
        done: list[Action] = []
        try:
            for action in before:
                done += self._all_or_none([action])
            return done + self._all_or_none(rest)
        except StoreUnavailable:
            raise  # it may have taken effect all the same
        except ReportRemoveError:
            for action in done:
                if action.verb == "Put":
                    with suppress(ReportRemoveError):
                        self._all_or_none([delete(action.key)])
            raise

    def _all_or_none(self, actions: list[Action]) -> list[Action]:
        while actions:
            refused = self._attempt(actions)
            if not refused:
                break
            for action in refused:
                if action.refusal is not None:
                    raise action.refusal
            actions = _without(actions, refused)
        return actions

    def _attempt(self, actions: list[Action]) -> list[Action]:
        """Write them; those whose condition did not hold, and then nothing is written."""
        stamp = secrets.token_bytes(12)
        try:
            if len(actions) == 1:
                self._write_one(actions[0], stamp)
            else:
                self._transact(actions, stamp)
        except ClientError as error:
            items = _refusals(error)
            if any(_is_ours(item, stamp) for item in items.values()):
                return []
            if not items:  # cancelled for a reason that no repeat will mend
                raise StoreUnavailable(f"DynamoDB answered {_reason(error)}") from error
            return [actions[place] for place in items]
        return []

    def _write_one(self, action: Action, stamp: bytes) -> None:
        operation = f"{action.verb.lower()}_item"
        self._table.on_table(operation, **stamped(action, stamp))

    def _transact(self, actions: list[Action], stamp: bytes) -> None:
        name = self._table.name
        items = [{action.verb: {"TableName": name, **stamped(action, stamp)}} for action in actions]
        self._table.call(
            "transact_write_items", TransactItems=items, ClientRequestToken=stamp.hex()
        )


def _refusals(error: ClientError) -> dict[int, dict[str, Any]]:
    """Where the actions stand whose condition did not hold, each with the row it met."""
    if code_of(error) == REFUSED:
        response: Any = error.response
        return {0: response.get("Item", {})}
    return {
        place: reason.get("Item", {})
        for place, reason in enumerate(reasons_of(error))
        if reason.get("Code") == CONDITION
    }


def _is_ours(item: dict[str, Any], stamp: bytes) -> bool:
    return bool(item.get(STAMP, {}).get("B") == stamp)


def _reason(error: ClientError) -> str:
    codes = [str(reason["Code"]) for reason in reasons_of(error) if reason.get("Code") != "None"]
    return codes[0] if codes else CANCELLED


def _without(actions: list[Action], refused: list[Action]) -> list[Action]:
    """The actions that are left when the refused are left out, and the groups they lead."""
    keys = {action.key for action in refused}
    groups = {action.group for action in refused if action.leads}
    return [a for a in actions if a.key not in keys and a.group not in groups]
