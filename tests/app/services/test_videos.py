"""A video's frames are judged, counted, sealed and told to platforms as one hash in text form."""

from __future__ import annotations

import pytest

from app.domain.case import MediaKind
from app.domain.errors import BadReport, TooMuch, UnusableHash
from app.domain.report import ItemDraft
from app.services.items import open_hashes
from hashing.denylist import SHIPPED, load_denylist
from hashing.values import HashEntry, HashType, Pdq, Vpdq
from hashing.video import VpdqFrame
from tests.app.services.world import World, a_digest, a_pdq, a_photo, a_request


def frames(count: int, quality: int = 90) -> list[VpdqFrame]:
    made = []
    for n in range(count):
        value = a_pdq().value
        assert isinstance(value, Pdq)
        made.append(VpdqFrame(30 * n, quality, value, 1001 * n))
    return made


def of(*some: VpdqFrame) -> HashEntry:
    return HashEntry(HashType.VPDQ, Vpdq(some), None, "original")


def a_video(*entries: HashEntry, **fields: object) -> ItemDraft:
    return a_photo(**{"kind": MediaKind.VIDEO, "entries": entries, **fields})


def test_platforms_get_the_text_form_among_the_hashes(world: World) -> None:
    partner = world.platform()
    vpdq, digest = of(*frames(3)), a_digest()
    key = world.report(a_video(vpdq, digest))
    world.expand()
    item = world.services.build_payload.fetch(partner, world.notice(key, partner).id)
    told = {"type": "vpdq", "value": str(vpdq.value), "quality": None, "variant": "original"}
    assert item["media_kind"] == "video"
    assert item["hashes"][0] == told  # type: ignore[index]
    assert Vpdq.parse(str(told["value"])) == vpdq.value


def test_frames_are_not_readable_in_the_file(world: World) -> None:
    (frame,) = frames(1)
    key = world.report(a_video(of(frame)))
    (item,) = world.house.store.items(world.case(key).id)
    assert open_hashes(world.house, item) == (of(frame),)
    stored = b"".join(path.read_bytes() for path in world.database.parent.iterdir())
    assert frame.hash.raw not in stored
    assert str(frame.hash).encode() not in stored


def test_every_frame_counts_for_the_limit(world: World) -> None:
    world.report(a_video(of(*frames(127)), a_digest()))
    with pytest.raises(TooMuch):
        world.report(a_video(of(*frames(128)), a_digest()))


def test_more_frames_later_count_together(world: World) -> None:
    key = world.report(a_video(of(*frames(100)), a_digest()))
    for count, fits in ((28, False), (27, True)):
        more = a_video(of(*frames(count)), extends=1)
        request = a_request(route="/v1/case/items")
        if fits:
            world.services.add_to_case(key, [more], request)
        else:
            with pytest.raises(TooMuch):
                world.services.add_to_case(key, [more], request)


LISTED = load_denylist(SHIPPED).pictures[0]
BAD = {"listed": (LISTED, 90), "like it": (LISTED ^ 0xFF, 90), "black": (0, 90), "dull": (3, 49)}


def bad(name: str, number: int = 60) -> VpdqFrame:
    bits, quality = BAD[name]
    return VpdqFrame(number, quality, Pdq(bits.to_bytes(32)), 2002)


@pytest.mark.parametrize("name", BAD)
def test_a_frame_that_cannot_be_used_is_left_out_and_the_rest_goes(world: World, name: str) -> None:
    good, digest = frames(2), a_digest()
    key = world.report(a_video(of(*good, bad(name)), digest))
    more = frames(1)
    extended = a_video(of(*more, bad(name)), extends=1)
    world.services.add_to_case(key, [extended], a_request(route="/v1/case/items"))
    (item,) = world.house.store.items(world.case(key).id)
    assert open_hashes(world.house, item) == (of(*good), digest, of(*more))


@pytest.mark.parametrize("name", BAD)
def test_a_video_of_which_no_frame_can_be_used_is_a_refusal(world: World, name: str) -> None:
    with pytest.raises(UnusableHash) as caught:
        world.report(a_video(a_digest(), of(bad(name), bad(name, 90))))
    assert caught.value.where == "/items/0/hashes/vpdq"
    assert world.count("cases") == 0


def test_frames_that_are_left_out_count_for_the_limit_all_the_same(world: World) -> None:
    many = [*frames(127), bad("black", 9999)]
    many[-1] = VpdqFrame(9999, 90, many[-1].hash, 999_999)
    with pytest.raises(TooMuch):
        world.report(a_video(of(*many), a_digest()))


def test_only_a_video_has_frames(world: World) -> None:
    with pytest.raises(BadReport, match="only a video"):
        world.report(a_photo(entries=(of(*frames(1)),)))


def test_the_same_file_is_a_duplicate_and_the_same_frames_alone_too(world: World) -> None:
    partner, digest, vpdq = world.platform(), a_digest(), of(*frames(2))
    keys = [
        world.report(a_video(vpdq, digest)),
        world.report(a_video(of(*frames(2)), digest)),
        world.report(a_video(vpdq)),
        world.report(a_video(vpdq)),
    ]
    world.expand()
    fetch = world.services.build_payload.fetch
    others = [fetch(partner, world.notice(key, partner).id)["other_reports"] for key in keys]
    assert others == [1, 1, 1, 1]
