"""The index finds exactly what comparing everything finds, also while it is being changed."""

from __future__ import annotations

import itertools
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hashing.distance import distance
from hashing.index import Match, RadiusIndex
from hashing.values import Pdq, Pdq512

# Few set bits, so that near ones are common.
SPARSE = st.sets(st.integers(0, 255), max_size=24).map(
    lambda bits: Pdq(sum(1 << bit for bit in bits).to_bytes(32))
)
KEYS = st.integers(0, 12)


class IndexLikeADictionary(RuleBasedStateMachine):
    """Any sequence of changes leaves the index and a plain dictionary in agreement."""

    def __init__(self) -> None:
        super().__init__()
        self.index: RadiusIndex[int] = RadiusIndex()
        self.plain: dict[int, Pdq] = {}

    @rule(key=KEYS, value=SPARSE)
    def add(self, key: int, value: Pdq) -> None:
        self.index.add(key, value)
        self.plain[key] = value

    @rule(key=KEYS)
    def discard(self, key: int) -> None:
        self.index.discard(key)
        self.plain.pop(key, None)

    @rule(value=SPARSE, radius=st.integers(0, 60))
    def search(self, value: Pdq, radius: int) -> None:
        found = self.index.within(value, radius)
        assert [match.distance for match in found] == sorted(match.distance for match in found)
        assert len(found) == len({match.key for match in found})
        assert {match.key: match.distance for match in found} == {
            key: distance(value, other)
            for key, other in self.plain.items()
            if distance(value, other) <= radius
        }

    @rule(value=SPARSE)
    def search_nearest(self, value: Pdq) -> None:
        nearest = self.index.nearest(value)
        if nearest is None:
            assert not self.plain
            return
        assert nearest.distance == distance(value, self.plain[nearest.key])
        assert nearest.distance == min(distance(value, other) for other in self.plain.values())

    @invariant()
    def holds_the_same_keys(self) -> None:
        assert len(self.index) == len(self.plain)
        assert all(key in self.index for key in self.plain)


TestIndexLikeADictionary = IndexLikeADictionary.TestCase
TestIndexLikeADictionary.settings = settings(max_examples=60, stateful_step_count=30)


def random_hash() -> Pdq:
    return Pdq(secrets.token_bytes(32))


def near(value: Pdq, bits: int) -> Pdq:
    return Pdq((value.bits ^ (1 << bits) - 1).to_bytes(32))


@settings(max_examples=10)
@given(st.integers(1000, 5000))
def test_it_agrees_with_brute_force_beyond_its_first_room(count: int) -> None:
    wanted = random_hash()
    plain = {n: near(wanted, n) if n < 60 else random_hash() for n in range(count)}
    index: RadiusIndex[int] = RadiusIndex()
    for key, value in plain.items():
        index.add(key, value)
    assert index.within(wanted) == [Match(n, n) for n in range(32)]
    assert index.nearest(near(wanted, 59)) == Match(59, 0)
    for key in range(0, count, 2):
        index.discard(key)
    assert [match.key for match in index.within(wanted)] == list(range(1, 32, 2))
    assert len(index) == count // 2


def test_an_empty_index_finds_nothing_and_forgets_nothing() -> None:
    index: RadiusIndex[str] = RadiusIndex()
    index.discard("unknown")
    assert index.within(random_hash(), 256) == []
    assert index.nearest(random_hash()) is None
    assert len(index) == 0


def test_the_whole_space_and_the_point_are_radii() -> None:
    index: RadiusIndex[str] = RadiusIndex()
    index.add("zeros", Pdq(bytes(32)))
    index.add("ones", Pdq(b"\xff" * 32))
    assert index.within(Pdq(bytes(32)), 256) == [Match("zeros", 0), Match("ones", 256)]
    assert index.within(Pdq(bytes(32)), 0) == [Match("zeros", 0)]
    assert index.within(Pdq(bytes(32)), -1) == []


def test_a_key_has_one_hash_and_profiles_share_the_space() -> None:
    index: RadiusIndex[str] = RadiusIndex()
    first, second = Pdq(bytes(32)), Pdq512(b"\xff" * 32)
    index.add("item", first)
    index.add("item", second)
    assert index.within(first) == []
    assert index.within(Pdq(second.raw)) == [Match("item", 0)]
    assert len(index) == 1


class Commotion:
    """An index whose keys 1 to 30 come and go, each always at the distance its number says.

    0 and 31 stay, strangers come by the hundred, so that rows move and columns grow.
    """

    def __init__(self) -> None:
        self.centre = random_hash()
        self.index: RadiusIndex[int] = RadiusIndex()
        self.stop = threading.Event()
        self.strangers = itertools.count(1000)
        for key in (0, 31):
            self.add(key)
        for _ in range(900):  # so that the first room is soon full
            self.index.add(next(self.strangers), random_hash())

    def add(self, key: int) -> None:
        self.index.add(key, near(self.centre, key))

    def write(self) -> None:
        while not self.stop.is_set():
            some = [next(self.strangers) for _ in range(30)]
            for key, stranger in enumerate(some, start=1):
                self.add(key)
                self.index.add(stranger, random_hash())
            for key, stranger in enumerate(some, start=1):
                self.index.discard(key)
                if stranger % 2:
                    self.index.discard(stranger)

    def read(self, searches: int) -> None:
        for _ in range(searches):
            found = self.index.within(self.centre)
            keys = [match.key for match in found]
            assert keys == [match.distance for match in found], "a row was seen half moved"
            assert keys == sorted(set(keys)), "a key was found twice"
            assert {0, 31} <= set(keys), "a key that stays was missed"
            assert self.index.nearest(self.centre) == Match(0, 0)


def test_searches_beside_changes_see_each_change_whole() -> None:
    commotion = Commotion()
    writer = threading.Thread(target=commotion.write)
    writer.start()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # let threads cut in anywhere
    try:
        with ThreadPoolExecutor(3) as readers:
            for reader in [readers.submit(commotion.read, 1500) for _ in range(3)]:
                reader.result()
    finally:
        commotion.stop.set()
        writer.join()
        sys.setswitchinterval(usual)
    assert len(commotion.index) > 1024


def test_a_change_waits_for_the_searches_under_way() -> None:
    index: RadiusIndex[str] = RadiusIndex()
    changed = threading.Event()

    def change() -> None:
        index.add("late", random_hash())
        changed.set()

    writer = threading.Thread(target=change)
    with index._gate.shared():
        writer.start()
        assert not changed.wait(0.05)
        assert "late" not in index
    assert changed.wait(5)
    writer.join()
