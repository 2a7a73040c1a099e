"""vPDQ text is one line a frame, strict, and prints back as it was read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.errors import InvalidHash
from hashing.values import HashType, Pdq, Pdq512
from hashing.video import Vpdq, VpdqFrame

HEX = "0123456789abcdef" * 4
# As `outputVPDQFeatureToFile` prints them: std::fixed, three decimals, a newline after each.
SAMPLE = f"0,100,{HEX},0.000\n1,98,{HEX},1.001\n30,7,{HEX},30.030\n"


def frames() -> st.SearchStrategy[VpdqFrame]:
    return st.builds(
        VpdqFrame,
        st.integers(0, 10**9 - 1),
        st.integers(0, 100),
        st.builds(Pdq, st.binary(min_size=32, max_size=32)),
        st.integers(0, 10**12 - 1),
    )


@st.composite
def videos(draw: st.DrawFn) -> Vpdq:
    numbers = sorted(draw(st.sets(st.integers(0, 10**6), min_size=1, max_size=8)))
    times = sorted(draw(st.integers(0, 10**7)) for _ in numbers)
    some = [draw(frames()) for _ in numbers]
    return Vpdq(
        tuple(
            VpdqFrame(number, frame.quality, frame.hash, at_ms)
            for number, frame, at_ms in zip(numbers, some, times, strict=True)
        )
    )


@given(frames())
def test_a_frame_prints_what_parses_to_the_same(frame: VpdqFrame) -> None:
    assert VpdqFrame.parse(str(frame)) == frame


@given(videos())
def test_a_video_prints_what_parses_to_the_same(video: Vpdq) -> None:
    assert Vpdq.parse(str(video)) == video


def test_what_vpdq_writes_is_read_and_printed_back() -> None:
    video = Vpdq.parse(SAMPLE)
    assert str(video) == SAMPLE
    assert video.type is HashType.VPDQ
    assert video.frames[1] == VpdqFrame(1, 98, Pdq.parse(HEX), 1001)
    assert [frame.at_ms for frame in video.frames] == [0, 1001, 30_030]


def test_lines_are_read_as_vpdq_reads_them() -> None:
    """By comma: frame number, quality, hash, seconds (ThreatExchange vpdq/cpp/io/vpdqio.cpp)."""
    number, quality, digits, seconds = SAMPLE.splitlines()[2].split(",")
    frame = Vpdq.parse(SAMPLE).frames[2]
    assert (int(number), int(quality), digits) == (frame.number, frame.quality, str(frame.hash))
    assert float(seconds) == frame.at_ms / 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        SAMPLE[:-1],
        SAMPLE + "\n",
        SAMPLE.replace("\n", "\r\n"),
        SAMPLE.upper(),
        SAMPLE + SAMPLE,
        f"0,100,{HEX},0\n",
        f"0,100,{HEX},0.00\n",
        f"0,101,{HEX},0.000\n",
        f"00,100,{HEX},0.000\n",
        f"0,100,{HEX},-1.000\n",
        f"0,100,{HEX},nan\n",
        f"0,100,{HEX},0.000,\n",
        f"0, 100,{HEX},0.000\n",
        f"0,100,{HEX[:-1]},0.000\n",
        f"\N{ARABIC-INDIC DIGIT ONE},100,{HEX},0.000\n",
        f"1,100,{HEX},1.000\n1,100,{HEX},2.000\n",
        f"1,100,{HEX},2.000\n2,100,{HEX},1.000\n",
        f"9999999999,100,{HEX},0.000\n",
    ],
)
def test_anything_else_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidHash) as caught:
        Vpdq.parse(text)
    assert HEX[:16] not in str(caught.value)


@given(st.text(max_size=120))
def test_any_text_is_refused_or_printed_back(text: str) -> None:
    try:
        assert str(Vpdq.parse(text)) == text
    except InvalidHash:
        assert text != SAMPLE


@pytest.mark.parametrize(
    ("number", "quality", "at_ms"), [(-1, 0, 0), (10**9, 0, 0), (0, -1, 0), (0, 101, 0), (0, 0, -1)]
)
def test_a_frame_cannot_be_made_with_numbers_out_of_range(
    number: int, quality: int, at_ms: int
) -> None:
    with pytest.raises(InvalidHash):
        VpdqFrame(number, quality, Pdq.parse(HEX), at_ms)


def test_frames_carry_the_full_profile_only() -> None:
    with pytest.raises(InvalidHash, match="pdq"):
        VpdqFrame(0, 100, Pdq512.parse(HEX), 0)
    with pytest.raises(InvalidHash, match="one frame"):
        Vpdq(())


def test_reprs_do_not_show_hashes() -> None:
    assert HEX[:8] not in repr(Vpdq.parse(SAMPLE))
