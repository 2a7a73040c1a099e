"""How long a partner has. The policies are data (deadlines.toml): law changes, code does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class DeadlinePolicy:
    """One rule's clock. `allowed` is None where a rule sets no number of hours."""

    id: str
    allowed: timedelta | None
    jurisdiction: str
    rule: str
    source: str


class BadPolicies(ValueError):
    """The policy file does not hold together; the message names every fault."""


def read_policies(document: Mapping[str, object]) -> dict[str, DeadlinePolicy]:
    """Policies from a parsed TOML document: a table `[policy.ID]` each. Raises BadPolicies."""
    tables = document.get("policy")
    if not isinstance(tables, Mapping) or not tables:
        raise BadPolicies("no [policy.ID] tables")
    faults: list[str] = []
    policies = {}
    for policy_id, table in tables.items():
        fault = _fault(table)
        if fault:
            faults.append(f"policy.{policy_id}: {fault}")
            continue
        hours = table.get("hours")
        policies[str(policy_id)] = DeadlinePolicy(
            id=str(policy_id),
            allowed=None if hours is None else timedelta(hours=hours),
            jurisdiction=table["jurisdiction"],
            rule=table["rule"],
            source=table["source"],
        )
    if faults:
        raise BadPolicies("\n".join(faults))
    return policies


def _fault(table: object) -> str | None:
    if not isinstance(table, Mapping):
        return "is not a table"
    for name in ("jurisdiction", "rule", "source"):
        if not isinstance(table.get(name), str) or not table[name]:
            return f"{name} is missing"
    hours = table.get("hours")
    if hours is not None and (type(hours) is not int or not 1 <= hours <= 24 * 90):
        return "hours must be a whole number from 1 to 2160"
    unknown = set(table) - {"hours", "jurisdiction", "rule", "source"}
    return f"{min(unknown)} is not a field" if unknown else None


def deadline_at(delivered_at: datetime, allowed: timedelta | None) -> datetime | None:
    """When the answer is due: the clock starts when the partner has the request."""
    return None if allowed is None else delivered_at + allowed
