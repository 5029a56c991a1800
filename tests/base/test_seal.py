"""Envelopes: what opens them, what does not, and how a key is changed around them."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from rota.base import key_file
from rota.base.errors import Unusable
from rota.base.key_file import LazySealer
from rota.base.seal import Place, Sealer, UnknownKey, key_id_of

OLD, NEW = b"o" * 32, b"n" * 32
PLACE = Place("vault_secrets/vlt_1/vcrd_1/token")


def sealer(*keys: bytes) -> Sealer:
    return Sealer({key_file.key_id(key): key for key in keys}, key_file.key_id(keys[0]))


def old_envelope(secret: str, place: str) -> bytes:
    """An envelope of version 1, as it was once written."""
    head = bytes([1, 12]) + key_file.key_id(OLD).encode()
    data_key, n1, n2 = os.urandom(32), os.urandom(12), os.urandom(12)
    bound = head + place.encode()
    return (
        head + n1 + AESGCM(OLD).encrypt(n1, data_key, bound) + n2 + AESGCM(data_key).encrypt(n2, secret.encode(), bound)
    )


@given(st.text(), st.text(st.characters(codec="utf-8"), max_size=50))
def test_what_is_sealed_opens_where_it_was_sealed(secret: str, place: str) -> None:
    envelope = sealer(OLD).seal(secret.encode("utf-8", "replace").decode(), Place(place))
    assert sealer(NEW, OLD).open(envelope, Place(place)) == secret.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    "elsewhere",
    [
        "vault_secrets/vlt_1/vcrd_1/secret_value",
        "vault_secrets/vlt_1/vcrd_2/token",
        "vault_secrets/vlt_2/vcrd_1/token",
        "session_tokens/vlt_1/vcrd_1/token",
        "",
    ],
)
def test_nothing_opens_at_another_place(elsewhere: str) -> None:
    envelope = sealer(OLD).seal("secret", PLACE)
    for act in (sealer(OLD).open, sealer(OLD, NEW).rewrap, sealer(NEW, OLD).rewrap):
        with pytest.raises(ValueError, match="does not belong to this row and field"):
            act(envelope, Place(elsewhere))


def test_a_changed_bit_is_found_wherever_it_is() -> None:
    envelope = sealer(OLD).seal("secret", PLACE)
    for index in range(len(envelope)):
        for bit in (1, 128):
            spoiled = bytearray(envelope)
            spoiled[index] ^= bit
            with pytest.raises(ValueError, match=r"altered|not an envelope|does not have") as failed:
                sealer(OLD).open(bytes(spoiled), PLACE)
            assert "secret" not in str(failed.value).replace("a secret was sealed", "")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_envelope_are_refused(noise: bytes) -> None:
    for act in (sealer(OLD).open, sealer(OLD).rewrap):
        with pytest.raises(ValueError):
            act(noise, PLACE)


def test_a_body_does_not_go_under_another_wrapping() -> None:
    one, two = sealer(OLD).seal("one", PLACE), sealer(OLD).seal("two", PLACE)
    with pytest.raises(ValueError, match="altered"):
        sealer(OLD).open(one[: 14 + 60] + two[14 + 60 :], PLACE)


def test_a_missing_key_is_named() -> None:
    envelope = sealer(OLD).seal("secret", PLACE)
    assert key_id_of(envelope) == key_file.key_id(OLD)
    for act in (sealer(NEW).open, sealer(NEW).rewrap):
        with pytest.raises(UnknownKey, match=key_file.key_id(OLD)) as failed:
            act(envelope, PLACE)
        assert failed.value.key_id == key_file.key_id(OLD)


def test_rewrapping_changes_the_key_and_leaves_the_ciphertext() -> None:
    envelope = sealer(OLD).seal("secret", PLACE)
    wrapped = sealer(NEW, OLD).rewrap(envelope, PLACE)
    assert key_id_of(wrapped) == key_file.key_id(NEW)
    assert wrapped[14 + 60 :] == envelope[14 + 60 :]
    assert wrapped[14 : 14 + 60] != envelope[14 : 14 + 60]
    assert sealer(NEW).open(wrapped, PLACE) == "secret"
    with pytest.raises(UnknownKey):
        sealer(OLD).open(wrapped, PLACE)


def test_an_envelope_of_the_first_version_opens_and_becomes_one_of_the_second() -> None:
    envelope = old_envelope("secret", PLACE)
    assert sealer(OLD).open(envelope, PLACE) == "secret"
    with pytest.raises(ValueError, match="does not belong"):
        sealer(OLD).open(envelope, Place("elsewhere"))
    wrapped = sealer(NEW, OLD).rewrap(envelope, PLACE)
    assert (wrapped[0], key_id_of(wrapped)) == (2, key_file.key_id(NEW))
    assert sealer(NEW).open(wrapped, PLACE) == "secret"


# Where keys come from


def test_a_running_sealer_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "seal.key"
    running = LazySealer(None, file)
    first = running.get().current
    assert running.get() is running.get(), "it is read once while it stays the same"
    envelope = running.get().seal("secret", PLACE)
    key_file.replace(file, [key_file.new_key(), *file.read_text().split()])
    assert running.get().current != first
    assert running.get().key_ids == {first, running.get().current}
    assert running.get().open(envelope, PLACE) == "secret"
    key_file.replace(file, file.read_text().split()[:1])
    with pytest.raises(UnknownKey):
        running.get().open(envelope, PLACE)


def test_a_running_sealer_keeps_its_keys_while_the_file_is_gone_or_spoiled(tmp_path: Path) -> None:
    file = tmp_path / "seal.key"
    running = LazySealer(None, file)
    running.get()
    held = running.get()
    text = file.read_text()
    file.unlink()
    assert running.get() is held
    assert not file.exists()
    file.write_text("spoiled")
    assert running.get() is held
    file.write_text("")
    assert running.get() is held
    file.write_text(f"{key_file.new_key()}\n{text}")
    assert running.get().key_ids > held.key_ids


def test_keys_from_the_environment_stay_what_they_are(tmp_path: Path) -> None:
    one, two = key_file.new_key(), key_file.new_key()
    running = LazySealer(f"{one} {two}", tmp_path / "none" / "seal.key")
    assert running.get() is running.get()
    assert running.get().current == key_file.key_id(key_file.parse_key(one))
    assert not (tmp_path / "none").exists()


def test_a_replaced_file_keeps_its_owner_and_mode(tmp_path: Path) -> None:
    file = tmp_path / "seal.key"
    key_file.load(None, file)
    if os.geteuid() == 0:
        os.chown(file, 12345, 12346)
    key_file.replace(file, [key_file.new_key()])
    found = file.stat()
    assert found.st_mode & 0o777 == 0o600
    if os.geteuid() == 0:
        assert (found.st_uid, found.st_gid) == (12345, 12346)
    assert [each.name for each in tmp_path.iterdir()] == ["seal.key"]


def test_two_commands_do_not_change_the_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "seal.key"
    with key_file.changing(file), pytest.raises(Unusable, match="Another command"), key_file.changing(file):
        pass
    with key_file.changing(file):
        pass


@pytest.mark.parametrize("text", ["short", "A" * 42, "A" * 44 + "B", "ä" * 43, "A" * 43 + " x"])
def test_what_is_no_key_is_refused_and_not_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "seal.key"
    file.write_text(text)
    with pytest.raises(Unusable) as failed:
        LazySealer(None, file).get()
    assert text not in str(failed.value)
