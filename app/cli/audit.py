"""The audit chains: who did what to which case, and whether an entry is missing or was altered."""

from __future__ import annotations

import sys
from collections import Counter

import click

from app.cli.operating import open_runtime
from app.cli.showing import FAILED, give, json_option, stop


@click.group()
def audit() -> None:
    """Who did what to which case, when and why."""


@audit.command("check")
@click.argument("case_id", required=False)
@json_option
def audit_check(case_id: str | None, as_json: bool) -> None:
    """Is the chain of that case whole, or every chain there is? Exit code 1 if one is not.

    A missing or altered entry shows, and the last ones missing while the case is there. May run
    beside the service.
    """
    from app.services.check_audit import CheckAudit
    from partners.model import CaseId

    with open_runtime() as runtime:
        check = CheckAudit(runtime.services.house)
        entries: Counter[str] = Counter()
        faults: dict[str, str] = {}
        for chain in check() if case_id is None else [check.one(CaseId(case_id))]:
            entries[chain.case_id] = chain.entries
            if chain.fault is not None:
                faults[chain.case_id] = chain.fault
    if case_id is not None and not entries.total() and not faults:
        stop(FAILED, "there is no such case, and no chain of it", as_json)
    found = {"chains": len(entries), "entries": entries.total(), "faults": faults}
    words = ", ".join(f"{n} {fault}" for fault, n in Counter(faults.values()).items())
    summary = f"{len(entries)} chain(s), {entries.total()} entries: {words or 'all whole'}."
    give(as_json, found, *(f"{case}  {fault}" for case, fault in faults.items()), summary)
    if faults:
        sys.exit(FAILED)


@audit.command("show")
@click.argument("case_id")
@json_option
def audit_show(case_id: str, as_json: bool) -> None:
    """Show the chain of one case, first to last: also every word that a platform said."""
    from app.services.check_audit import CheckAudit
    from partners.model import CaseId

    with open_runtime() as runtime:
        rows = CheckAudit(runtime.services.house).rows(CaseId(case_id))
    if not rows:
        stop(FAILED, "there is no chain of such a case", as_json)
    lines = [
        f"{r['number']:4}  {r['at']}  {r['actor']:12} {r['action']:12} {r['reason']}" for r in rows
    ]
    give(as_json, rows, *lines)
