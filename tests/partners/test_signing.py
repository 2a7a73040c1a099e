"""Standard Webhooks: the public vectors, the public libraries, and what must not verify."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
import svix
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from partners.errors import SignatureRefused
from partners.model import SigningScheme
from partners.signing import (
    HmacKey,
    PrivateKey,
    PublicKey,
    SigningKey,
    generate,
    parse_signing_key,
    parse_verifying_key,
    sign,
    verify,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'
V1 = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
V1A = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
V1A_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
AT = datetime.fromtimestamp(1614265330, UTC)


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        (V1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        (
            V1A,
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        ),
    ],
)
def test_the_shared_vectors(key: str, signature: str) -> None:
    assert sign([parse_signing_key(key)], ID, AT, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": signature,
    }


def test_the_public_half_of_the_vector() -> None:
    key = PrivateKey.parse(V1A)
    assert str(key.public) == key.handed_over() == V1A_PUBLIC
    assert verify([parse_verifying_key(V1A_PUBLIC)], sign([key], ID, AT, BODY), BODY, AT) == ID


@given(secret=st.binary(min_size=24, max_size=64), seed=st.binary(min_size=32, max_size=32))
def test_every_key_reads_back_from_its_written_form(secret: bytes, seed: bytes) -> None:
    shared, private = HmacKey(secret), PrivateKey(seed)
    assert parse_signing_key(str(shared)) == shared
    assert parse_signing_key(str(private)) == private
    assert parse_verifying_key(str(private.public)) == private.public


@pytest.mark.parametrize("scheme", SigningScheme)
def test_no_key_shows_itself(scheme: SigningScheme) -> None:
    key = generate(scheme)
    secret = str(key).split("_", 1)[1]
    assert secret not in repr(key)
    assert repr(base64.b64decode(secret)[:32])[2:-1] not in repr(key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        V1.removeprefix("whsec_"),
        V1 + "!",
        V1 + "\n",
        V1A[:-4],
        V1A.replace("whsk_", "whpk_"),
        V1A_PUBLIC.replace("whpk_", "whsk_"),
        "whsk_" + base64.b64encode(bytes(64)).decode(),
        "whpk_" + base64.b64encode(bytes(31)).decode(),
        "whpk_é",
    ],
)
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    parse = PublicKey.parse if text.startswith("whpk_") else parse_signing_key
    with pytest.raises(SignatureRefused) as refused:
        parse(text)
    assert len(text) < 10 or text[6:] not in str(refused.value)


@given(body=st.binary(max_size=200))
def test_v1_verifies_in_the_libraries_that_partners_use(body: bytes) -> None:
    key = HmacKey.generate()
    headers = sign([key], ID, datetime.now(UTC), b'{"x":"' + body.hex().encode() + b'"}')
    sent = b'{"x":"' + body.hex().encode() + b'"}'
    assert standardwebhooks.Webhook(str(key)).verify(sent, headers) == {"x": body.hex()}
    svix.Webhook(str(key)).verify(sent, headers)


def test_their_v1_signature_verifies_here() -> None:
    key = HmacKey.generate()
    theirs = standardwebhooks.Webhook(str(key)).sign(ID, AT, BODY.decode())
    headers = {"Webhook-Id": ID, "Webhook-Timestamp": "1614265330", "Webhook-Signature": theirs}
    assert verify([key], headers, BODY, AT) == ID


@given(body=st.binary(max_size=200))
def test_v1a_verifies_with_cryptography_alone(body: bytes) -> None:
    key = PrivateKey.generate()
    headers = sign([key], ID, NOW, body)
    version, _, value = headers["webhook-signature"].partition(",")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.handed_over()[5:]))
    public.verify(base64.b64decode(value), f"{ID}.{int(NOW.timestamp())}.".encode() + body)
    assert version == "v1a"


@pytest.mark.parametrize("scheme", SigningScheme)
def test_during_a_rotation_either_key_verifies(scheme: SigningScheme) -> None:
    old, new, other = generate(scheme), generate(scheme), generate(scheme)
    headers = sign([old, new], ID, NOW, BODY)
    assert len(headers["webhook-signature"].split(" ")) == 2
    for key in (old, new):
        assert verify([_verifying(key)], headers, BODY, NOW) == ID
    with pytest.raises(SignatureRefused):
        verify([_verifying(other)], headers, BODY, NOW)


def test_v1_libraries_find_their_key_among_several() -> None:
    old, new = HmacKey.generate(), HmacKey.generate()
    headers = sign([PrivateKey.generate(), old, new], ID, datetime.now(UTC), BODY)
    for key in (old, new):
        assert standardwebhooks.Webhook(str(key)).verify(BODY, headers)


@pytest.mark.parametrize("scheme", SigningScheme)
@given(data=st.data())
def test_one_changed_byte_does_not_verify(scheme: SigningScheme, data: st.DataObject) -> None:
    key = generate(scheme)
    headers = sign([key], ID, NOW, BODY)
    place = data.draw(st.integers(0, len(BODY) - 1))
    flip = data.draw(st.integers(1, 255))
    forged = bytes([*BODY[:place], BODY[place] ^ flip, *BODY[place + 1 :]])
    with pytest.raises(SignatureRefused):
        verify([_verifying(key)], headers, forged, NOW)


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_five_minutes_are_tolerated(seconds: int) -> None:
    key = HmacKey.generate()
    assert verify([key], sign([key], ID, NOW, BODY), BODY, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-301, 301, 86400])
def test_more_than_five_minutes_are_not(seconds: int) -> None:
    key = HmacKey.generate()
    with pytest.raises(SignatureRefused, match="timestamp"):
        verify([key], sign([key], ID, NOW, BODY), BODY, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-id": ""},
        {"webhook-id": "msg.1"},
        {"webhook-timestamp": "1614265330.0"},
        {"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"webhook-timestamp": "+1614265330"},
        {"webhook-timestamp": "1" * 5000},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1a,AAAA"},
        {"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"webhook-signature": "v1,ü"},
        {"webhook-signature": " ".join(["v1,AAAA"] * 5000)},
    ],
)
@pytest.mark.parametrize("key", [V1, V1A_PUBLIC])
def test_malformed_headers_are_refused(change: dict[str, str], key: str) -> None:
    headers = sign([parse_signing_key(V1), parse_signing_key(V1A)], ID, AT, BODY) | change
    with pytest.raises(SignatureRefused):
        verify([parse_verifying_key(key)], headers, BODY, AT)


def test_a_missing_header_or_key_is_refused() -> None:
    headers = sign([parse_signing_key(V1)], ID, AT, BODY)
    for name in headers:
        with pytest.raises(SignatureRefused):
            verify([HmacKey.parse(V1)], headers | {name: ""}, BODY, AT)
        with pytest.raises(SignatureRefused):
            verify([HmacKey.parse(V1)], {k: headers[k] for k in headers if k != name}, BODY, AT)
    with pytest.raises(SignatureRefused):
        verify([], headers, BODY, AT)
    with pytest.raises(SignatureRefused):
        sign([], ID, AT, BODY)


def test_an_id_cannot_move_the_border_between_its_parts() -> None:
    with pytest.raises(SignatureRefused):
        sign([HmacKey(secrets.token_bytes(32))], "msg_1.1614265330", AT, BODY)


def _verifying(key: SigningKey) -> HmacKey | PublicKey:
    return key if isinstance(key, HmacKey) else key.public
