"""What is forgotten: a purged case at once, and what is kept only for a while.

AWS drops by itself what has an end (`expires`), some time after it, for nothing; what it has not
dropped yet is found here by the index. Each row is deleted only if it still is what was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.adapters.dynamodb import keys, rows
from app.adapters.dynamodb.actions import delete
from app.adapters.dynamodb.keys import Key, Shards, Shelf
from app.adapters.dynamodb.rows import Row, key_of
from app.adapters.dynamodb.schema import BY_KIN, BY_TIME
from app.adapters.dynamodb.table import Table, chunks
from app.adapters.dynamodb.writer import MOST_ACTIONS, Writer
from app.adapters.rows import micros
from partners.model import CaseId


@dataclass(frozen=True, slots=True)
class Expiry:
    """Forgets rows of a table."""

    table: Table
    writer: Writer
    shards: Shards

    def purge(self, case_id: CaseId) -> None:
        """Delete a case and all that hangs on it, except its audit chain.

        The case goes last, so that a purge that was broken off is found and done again.
        """
        partition = self.table.partition(keys.case(case_id)[0])
        told = [name for row in partition if "names" in row for name in row["names"]["SS"]]
        for name in dict.fromkeys(told):
            self._delete_messages(name)
        self.table.delete_all(keys.notice(name) for name in told)
        self.table.delete_all(self._kin(keys.kin_of_case(case_id)))
        case = keys.case(case_id)
        for row in partition:
            if key_of(row) == case:
                self._free_key(row)
        hanging = [key_of(row) for row in partition if not row["sk"]["S"].startswith(keys.CHAIN)]
        self.table.delete_all(key for key in hanging if key != case)
        self.table.delete_all([case] if case in hanging else [])

    def drop(self, now: datetime, attempts_before: datetime, audit_before: datetime) -> int:
        """As `Janitor.drop_expired`."""
        moment = micros(now)
        return (
            self._drop(Shelf.TOKENS, "<", moment)
            + self._drop(Shelf.ANSWERS, "<=", moment)
            + self._drop(Shelf.ATTEMPTS, "<", micros(attempts_before))
            + self._drop_chains(micros(audit_before))
        )

    def _delete_messages(self, notice_id: str) -> None:
        for message in self._kin(keys.kin_of_notice(notice_id)):
            found = self.table.partition(message[0], keys_only=True)
            self.table.delete_all([*map(key_of, found)][::-1])  # the message after its attempts

    def _kin(self, kin: str) -> list[Key]:
        return [key_of(row) for row in self.table.indexed(BY_KIN, ("kin", kin))]

    def _free_key(self, case: Row) -> None:
        """Another case may have taken the key since."""
        key = keys.case_key(case["key_tag"]["B"])
        self.writer.write([delete(key, {"case_id": case["id"]["S"]})])

    def _before(self, shelf: Shelf, comparison: str, moment: int) -> Iterator[Row]:
        for bucket in self.shards.all(shelf):
            yield from self.table.indexed(
                BY_TIME, ("bucket", bucket), ("bucket_at", comparison, keys.at(moment))
            )

    def _drop(self, shelf: Shelf, comparison: str, moment: int) -> int:
        dropped = 0
        for found in chunks(list(self._before(shelf, comparison, moment)), MOST_ACTIONS):
            ends = [delete(key_of(row), {"bucket_at": row["bucket_at"]["S"]}) for row in found]
            dropped += len(self.writer.write(ends))
        return dropped

    def _drop_chains(self, moment: int) -> int:
        """Chains whose case is gone and whose newest entry is old."""
        begun = [row["pk"]["S"] for row in self._before(Shelf.CHAINS, "<", moment)]
        living = self.table.get_all((partition, "case") for partition in begun)
        return sum(
            self._drop_chain(partition, moment)
            for partition in begun
            if (partition, "case") not in living
        )

    def _drop_chain(self, partition: str, moment: int) -> int:
        chain: Sequence[Row] = self.table.partition(partition, keys.CHAIN)
        if any(rows.number(entry, "at") >= moment for entry in chain):
            return 0
        # The first entry, by which the chain is found, is the last to go.
        self.table.delete_all([key_of(entry) for entry in chain][::-1])
        return len(chain)
