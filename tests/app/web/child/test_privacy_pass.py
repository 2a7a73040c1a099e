"""The library of passes in the browser: RFC 9578's figures to the bit, others' code, bad input."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters.age.private_token import Token, TokenKey, token_challenge
from app.client.privacy_pass import Why
from tests.app.web.running import ROOT
from tests.js.device_engines import DevicePage, chromium_page, run_node

VECTORS = json.loads((ROOT / "tests/vectors/age/rfc9578-type2.json").read_text())["vectors"]
HEAD = bytes.fromhex(VECTORS[0]["token_key"])[:-261]
PRIVATE = rsa.generate_private_key(65537, 2048).private_numbers()
N = PRIVATE.public_numbers.n
CHALLENGE = token_challenge("under18.broker.example", "young.example", bytes(range(32)))
BROWSER = "async cases => (await import('/tests/js/pass_cases.mjs')).run(cases)"

Case = dict[str, Any]


def spki_of(modulus: int) -> bytes:
    return HEAD + modulus.to_bytes(256, "big") + bytes.fromhex("0203010001")


KEY = spki_of(N)
BLIND: Case = {"do": "blind", "challenge": CHALLENGE.hex(), "key": KEY.hex()}


def in_node(cases: list[Case]) -> list[Case]:
    """What the library makes of the cases, in node."""
    done = subprocess.run(
        ["node", str(ROOT / "tests/js/pass_cases.mjs")],
        input=json.dumps(cases),
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    found: list[Case] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[DevicePage]:
    with chromium_page() as page:
        yield page


def signed(request: str) -> bytes:
    return pow(int(request[6:], 16), PRIVATE.d, N).to_bytes(256, "big")


def finalizing(blinded: Case, signature: bytes, **changed: str) -> Case:
    return {
        "do": "finalize",
        "secret": {**blinded["secret"], **changed},
        "signature": signature.hex(),
    }


def codes(cases: list[Case]) -> list[str | None]:
    return [made.get("code") for made in in_node(cases)]


def test_rfc_9578s_figures_come_out_to_the_bit() -> None:
    said = run_node("pass_vectors.mjs")
    wanted = [{"request": one["request"], "token": one["token"]} for one in VECTORS]
    assert said["made"] == wanted
    assert said["verified"] == [True] * 5


def test_others_take_our_tokens_and_we_take_theirs() -> None:
    said = run_node("pass_independent.mjs")
    assert said == {"ours": [True] * 5, "theirs": [True] * 5}


def check_whole_way(run: Any) -> None:
    blinded = run([BLIND] * 3)
    made = run([finalizing(one, signed(one["request"])) for one in blinded])
    for one in made:
        text = one["header"].removeprefix('PrivateToken token="').removesuffix('"')
        assert len(text) == 472
        assert TokenKey.parse(KEY).verifies(Token.parse(text))
    assert len({one["header"] for one in made}) == 3


def test_what_node_makes_the_service_takes() -> None:
    check_whole_way(in_node)


def test_what_chromium_makes_the_service_takes(browser: DevicePage) -> None:
    check_whole_way(lambda cases: browser.evaluate(BROWSER, cases))


def test_the_issuer_sees_nothing_of_the_token() -> None:
    [blinded] = in_node([BLIND])
    request, secret = blinded["request"], blinded["secret"]
    assert secret["back"] not in request
    assert len(request) == 2 * 259


KEYS = {
    "empty": (b"", "key_shape"),
    "short": (KEY[:-1], "key_shape"),
    "long": (KEY + b"\0", "key_shape"),
    "another exponent": (KEY[:-1] + b"\x03", "key_shape"),
    "another algorithm": (KEY[:20] + b"\x01" + KEY[21:], "key_shape"),
    "2047 bits": (spki_of(N >> 1 | 1), "key_weak"),
    "nothing": (spki_of(0), "key_weak"),
    "even": (spki_of(N & ~1), "key_weak"),
    "a factor of 3": (spki_of(N - N % 3), "key_weak"),
    "a factor of 1999": (spki_of(N - N % 1999), "key_weak"),
}
CHALLENGES = [
    b"",
    CHALLENGE[:-1],
    CHALLENGE + b"\0",
    b"\0\1" + CHALLENGE[2:],
    token_challenge("", "young.example", bytes(32)),
    CHALLENGE.replace(b"\x20" + bytes(range(32)), b"\x1f" + bytes(range(31))),
]


def test_a_key_that_is_none_of_type_2_is_refused() -> None:
    said = codes([{**BLIND, "key": key.hex()} for key, _ in KEYS.values()])
    assert said == [code for _, code in KEYS.values()]


def test_a_challenge_that_is_none_is_refused() -> None:
    said = codes([{**BLIND, "challenge": one.hex()} for one in CHALLENGES])
    assert said == ["challenge_shape"] * len(CHALLENGES)


def test_what_the_issuer_must_not_answer_is_refused() -> None:
    [one, other] = in_node([BLIND] * 2)
    good = signed(one["request"])
    answers = {
        b"": "signature_length",
        good[:-1]: "signature_length",
        good + b"\0": "signature_length",
        N.to_bytes(256, "big"): "signature_range",
        b"\xff" * 256: "signature_range",
        bytes(256): "signature_wrong",
        bytes.fromhex(one["request"][6:]): "signature_wrong",
        signed(other["request"]): "signature_wrong",
    }
    assert codes([finalizing(one, answer) for answer in answers]) == list(answers.values())
    assert codes([finalizing(one, good)]) == [None]


def test_an_altered_secret_is_refused() -> None:
    [one] = in_node([BLIND])
    good = signed(one["request"])
    back, message = one["secret"]["back"], one["secret"]["message"]
    altered: list[tuple[dict[str, Any], str]] = [
        ({"back": ""}, "secret_shape"),
        ({"back": "0"}, "secret_shape"),
        ({"back": "-1"}, "secret_shape"),
        ({"back": f"{back}; alert(1)"}, "secret_shape"),
        ({"back": "f" * 513}, "secret_shape"),
        ({"message": message[4:]}, "secret_shape"),
        ({"message": 7}, "secret_shape"),
        ({"key": "?"}, "secret_shape"),
        ({"key": ""}, "key_shape"),
        ({"back": f"{int(back, 16) ^ 1:x}"}, "signature_wrong"),
    ]
    said = codes([finalizing(one, good, **changed) for changed, _ in altered])
    assert said == [code for _, code in altered]


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(1, 255)), min_size=20, max_size=40))
def test_a_changed_signature_makes_no_token(changes: list[tuple[int, int]]) -> None:
    [one] = in_node([BLIND])
    cases = []
    for place, flip in changes:
        answer = bytearray(signed(one["request"]))
        answer[place] ^= flip
        cases.append(finalizing(one, bytes(answer)))
    assert set(codes(cases)) <= {"signature_wrong", "signature_range"}


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=90), st.binary(max_size=400)), min_size=40))
def test_no_bytes_at_all_break_it(made: list[tuple[bytes, bytes]]) -> None:
    cases = [{**BLIND, "challenge": one.hex()} for one, _ in made]
    cases += [{**BLIND, "key": (HEAD + other).hex()} for _, other in made]
    assert set(codes(cases)) <= {"challenge_shape", "key_shape", "key_weak"}


def test_only_a_token_is_shown() -> None:
    tokens = [bytes(353), bytes(355), b""]
    assert codes([{"do": "header", "token": t.hex()} for t in tokens]) == ["token_shape"] * 3


@settings(max_examples=10, deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=10))
def test_base64url_has_one_spelling(made: list[bytes]) -> None:
    padded = [base64.urlsafe_b64encode(one).decode() for one in made]
    texts = [*padded, *(text.rstrip("=") for text in padded)]
    said = in_node([{"do": "text", "text": text} for text in texts])
    assert [one["bytes"] for one in said] == [one.hex() for one in made] * 2


def test_anything_else_is_not_base64url() -> None:
    bad = ["a", "ab cd", "ab+d", "=", "ab=c", "abcd====", "é", "AB", "AAB", 3, None]
    said = in_node([{"do": "text", "text": text} for text in bad])
    assert [one["bytes"] for one in said] == [None] * len(bad)


def test_the_browser_and_the_command_line_refuse_alike() -> None:
    """The command line has more reasons: it also asks the broker and keeps a file."""
    said = set(run_node("pass_codes.mjs")) - {"secret_shape", "token_shape"}
    assert {code.replace("_", "-") for code in said} <= {str(why) for why in Why}
