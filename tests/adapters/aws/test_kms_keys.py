"""Root keys in a secret that KMS opens: made once, rotated at any time, refused plainly."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.adapters.aws import client
from app.adapters.derived_keys import DerivedKeyRing
from app.adapters.file_keys import (
    FileKeyRing,
    add_root_key,
    create_root_key,
    read_root_keys,
    write_root_keys,
)
from app.adapters.kms_keys import KeyChest, KeysRefused, KeysUnavailable, KmsKeyRing
from app.domain.errors import SealBroken, StoreUnavailable
from partners.ports import Place, Purpose
from tests.adapters.aws.chests import Chest
from tests.adapters.aws.faults import Answers

PLACE = Place("items", "sealed_hashes", "case_a/1")


def test_another_process_opens_what_one_sealed(chest: Chest) -> None:
    one, other = KmsKeyRing(chest.chest), KmsKeyRing(chest.chest)
    assert other.open(PLACE, one.seal(PLACE, b"x")) == b"x"
    assert other.tag(Purpose.CASE_KEY, b"x") == one.tag(Purpose.CASE_KEY, b"x")


def test_it_is_to_the_bit_what_any_ring_of_these_roots_is(chest: Chest) -> None:
    ours, plain = KmsKeyRing(chest.chest), DerivedKeyRing(chest.chest.roots())
    assert plain.open(PLACE, ours.seal(PLACE, b"x")) == b"x"
    assert ours.open(PLACE, plain.seal(PLACE, b"x")) == b"x"
    assert {ours.tag(p, b"v") == plain.tag(p, b"v") for p in Purpose} == {True}


def test_the_secret_holds_nothing_that_opens_anything(chest: Chest) -> None:
    roots = chest.chest.roots()
    text = chest.chest.secrets.get_secret_value(SecretId=chest.chest.secret)["SecretString"]
    _, wrapped = chest.chest.wrapped()
    assert roots.tag_root not in wrapped.tag_root
    assert roots.keys[1] not in wrapped.keys[1]
    assert roots.keys[1].hex() not in text


def test_keys_are_made_once(chest: Chest) -> None:
    before = chest.chest.roots()
    with pytest.raises(KeysRefused, match="already"):
        chest.chest.create(chest.kms_key)
    assert chest.chest.roots() == before


def test_an_empty_secret_of_the_template_is_filled_once(chest: Chest) -> None:
    secrets = chest.chest.secrets
    name = f"{chest.chest.secret}-empty"
    secrets.create_secret(Name=name)
    empty = KeyChest(chest.kms, secrets, name)
    with pytest.raises(KeysRefused, match="keys create"):
        KmsKeyRing(empty)
    empty.create(chest.kms_key)
    KmsKeyRing(empty)
    with pytest.raises(KeysRefused, match="already"):
        empty.create(chest.kms_key)


def test_after_a_rotation_new_values_have_the_new_key_and_old_ones_open(chest: Chest) -> None:
    before = KmsKeyRing(chest.chest)
    old = before.seal(PLACE, b"old")
    assert chest.chest.add(chest.kms_key) == 2
    after = KmsKeyRing(chest.chest)
    new = after.seal(PLACE, b"new")
    assert (old[1:3], new[1:3]) == (b"\x00\x01", b"\x00\x02")
    assert after.open(PLACE, old) == b"old"
    assert after.tag(Purpose.CASE_KEY, b"x") == before.tag(Purpose.CASE_KEY, b"x")


def test_a_process_that_ran_meanwhile_learns_of_the_rotation(chest: Chest) -> None:
    running = KmsKeyRing(chest.chest)
    chest.chest.add(chest.kms_key)
    sealed = KmsKeyRing(chest.chest).seal(PLACE, b"new")
    assert running.open(PLACE, sealed) == b"new"
    assert running.seal(PLACE, b"x")[1:3] == b"\x00\x02"


def test_an_id_that_nobody_has_is_asked_for_now_and_then_only(chest: Chest) -> None:
    now = [0.0]
    ring = KmsKeyRing(chest.chest, lambda: now[0])
    asked = Answers(chest.chest.secrets, "GetSecretValue", 500, "never")
    asked.on = False
    unknown = b"\x01\x00\x09" + ring.seal(PLACE, b"x")[3:]
    for _ in range(20):
        with pytest.raises(SealBroken):
            ring.open(PLACE, unknown)
    assert asked.asked == 1
    now[0] += 31
    with pytest.raises(SealBroken):
        ring.open(PLACE, unknown)
    assert asked.asked == 2


def test_rotations_at_once_lose_no_key(chest: Chest) -> None:
    """Whoever is too late is told; whatever was answered is there."""
    start = threading.Barrier(6)

    def rotate(_: int) -> int | None:
        start.wait()
        try:
            return chest.chest.add(chest.kms_key)
        except KeysRefused:
            return None

    with ThreadPoolExecutor(6) as pool:
        made = [id_ for id_ in pool.map(rotate, range(6)) if id_ is not None]
    assert made
    assert len(set(made)) == len(made)
    assert set(chest.chest.roots().keys) == {1, *made}


def test_a_wrapped_key_does_not_stand_in_for_another(chest: Chest) -> None:
    secrets, secret = chest.chest.secrets, chest.chest.secret
    chest.chest.add(chest.kms_key)
    _, tag, one, two = secrets.get_secret_value(SecretId=secret)["SecretString"].splitlines()
    swapped = [f"key 1 {two.split()[2]}", f"key 2 {one.split()[2]}"]
    secrets.put_secret_value(
        SecretId=secret, SecretString="\n".join(["report-remove-kms-keys 1", tag, *swapped])
    )
    with pytest.raises(KeysRefused, match="belongs to another"):
        KmsKeyRing(chest.chest)


@pytest.mark.parametrize("text", ["{}", "report-remove-kms-keys 1\nkey 1 A\n"])
def test_a_secret_that_does_not_hold_together_is_refused(chest: Chest, text: str) -> None:
    chest.chest.secrets.put_secret_value(SecretId=chest.chest.secret, SecretString=text)
    with pytest.raises(KeysRefused, match=r"line \d"):
        KmsKeyRing(chest.chest)


def test_a_missing_secret_is_named_with_its_remedy(chest: Chest) -> None:
    nowhere = KeyChest(chest.kms, chest.chest.secrets, "nowhere")
    with pytest.raises(KeysRefused, match="keys create"):
        KmsKeyRing(nowhere)


def test_a_key_pending_deletion_is_refused_and_comes_back(chest: Chest) -> None:
    sealed = KmsKeyRing(chest.chest).seal(PLACE, b"x")
    chest.kms.schedule_key_deletion(KeyId=chest.kms_key, PendingWindowInDays=7)
    with pytest.raises(KeysRefused, match="pending deletion") as refused:
        KmsKeyRing(chest.chest)
    assert not isinstance(refused.value, KeysUnavailable)
    assert chest.kms_key not in str(refused.value)
    chest.kms.cancel_key_deletion(KeyId=chest.kms_key)
    chest.kms.enable_key(KeyId=chest.kms_key)
    assert KmsKeyRing(chest.chest).open(PLACE, sealed) == b"x"


def test_a_disabled_key_is_refused_and_comes_back(chest: Chest) -> None:
    chest.kms.disable_key(KeyId=chest.kms_key)
    with pytest.raises(KeysRefused, match="disabled"):
        KmsKeyRing(chest.chest)
    chest.kms.enable_key(KeyId=chest.kms_key)
    KmsKeyRing(chest.chest)


def test_a_store_may_move_from_a_file_to_kms_and_back(chest: Chest, tmp_path: Path) -> None:
    create_root_key(tmp_path / "one")
    add_root_key(tmp_path / "one")
    file = FileKeyRing(tmp_path / "one")
    moved = KeyChest(chest.kms, chest.chest.secrets, f"{chest.chest.secret}-moved")
    moved.adopt(read_root_keys(tmp_path / "one"), chest.kms_key)
    kms = KmsKeyRing(moved)
    assert kms.open(PLACE, file.seal(PLACE, b"x")) == b"x"
    assert kms.tag(Purpose.CASE_KEY, b"x") == file.tag(Purpose.CASE_KEY, b"x")
    assert moved.add(chest.kms_key) == 3
    write_root_keys(tmp_path / "back", moved.roots())
    back = FileKeyRing(tmp_path / "back")
    assert back.open(PLACE, KmsKeyRing(moved).seal(PLACE, b"y")) == b"y"
    with pytest.raises(KeysRefused, match="already"):
        moved.adopt(read_root_keys(tmp_path / "one"), chest.kms_key)


def test_a_ring_that_runs_needs_kms_no_more(chest: Chest) -> None:
    ring = KmsKeyRing(chest.chest)
    chest.kms.schedule_key_deletion(KeyId=chest.kms_key, PendingWindowInDays=7)
    assert ring.open(PLACE, ring.seal(PLACE, b"x")) == b"x"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ServiceUnavailableException", 503),
        ("KMSInternalException", 500),
        ("ThrottlingException", 400),
        ("ExpiredTokenException", 400),
        ("RequestExpired", 400),  # a clock that is minutes off
        ("InvalidSignatureException", 400),
    ],
)
def test_kms_that_does_not_answer_is_another_matter(chest: Chest, code: str, status: int) -> None:
    away = Answers(chest.kms, "Decrypt", status, code)
    with pytest.raises(KeysUnavailable) as unavailable:
        KmsKeyRing(chest.chest)
    assert code in str(unavailable.value)
    assert "arn" not in str(unavailable.value)
    away.on = False
    KmsKeyRing(chest.chest)


def test_nobody_listening_is_unavailable_too(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(KeysUnavailable, match="EndpointConnectionError"):
        KmsKeyRing(KeyChest(client("kms"), client("secretsmanager"), "any"))


def test_a_newer_key_that_cannot_be_had_now_is_not_a_broken_seal(chest: Chest) -> None:
    running = KmsKeyRing(chest.chest)
    chest.chest.add(chest.kms_key)
    sealed = KmsKeyRing(chest.chest).seal(PLACE, b"new")
    away = Answers(chest.kms, "Decrypt", 503, "ServiceUnavailableException")
    with pytest.raises(StoreUnavailable):
        running.open(PLACE, sealed)
    away.on = False
    assert running.open(PLACE, sealed) == b"new"
