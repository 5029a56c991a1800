"""Secrets at rest: AES-256-GCM envelopes.

Promises: each secret has a data key of its own, wrapped by a key-encryption key that is named by id, so that rotation
re-wraps data keys without touching payloads; the place where a secret lives (any text that names the row and field) is
authenticated, so that a ciphertext moved to another row does not open.
Does not store anything, and never returns a secret in an error.

Format, version 1: one byte version, one byte length of the key id, key id, 12-byte nonce and 48-byte wrapped data key,
12-byte nonce and ciphertext of the secret.
"""

import os
import secrets
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from rota.base.errors import Unusable

_VERSION = 1
_NONCE = 12
_WRAPPED = 32 + 16


class Sealer:
    """Seals with one key-encryption key and opens with any that it was given.

    ``keys`` maps key ids to 32-byte keys; ``current`` is the id that seals.
    """

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        # Loaded here: 30 ms and 8 MB that a server without secrets need not pay.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aead = AESGCM
        self._invalid = InvalidTag
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = current

    def seal(self, secret: str, place: str) -> bytes:
        """The envelope of ``secret`` for exactly this ``place``."""
        data_key, n1, n2 = os.urandom(32), os.urandom(_NONCE), os.urandom(_NONCE)
        key_id = self._current.encode()
        head = bytes([_VERSION, len(key_id)]) + key_id
        wrapped = self._keys[self._current].encrypt(n1, data_key, head + place.encode())
        return head + n1 + wrapped + n2 + self._aead(data_key).encrypt(n2, secret.encode(), head + place.encode())

    def open(self, envelope: bytes, place: str) -> str:
        """The secret. ValueError (without any part of it) if the envelope is not for ``place`` or its key is unknown."""
        size = envelope[1] if len(envelope) > 2 else 0
        head, rest = envelope[: 2 + size], envelope[2 + size :]
        key = self._keys.get(head[2:].decode(errors="replace"))
        if not head or head[0] != _VERSION or key is None:
            raise ValueError("the envelope was sealed with a key that is not configured")
        try:
            data_key = key.decrypt(rest[:_NONCE], rest[_NONCE : _NONCE + _WRAPPED], head + place.encode())
            body = rest[_NONCE + _WRAPPED :]
            return self._aead(data_key).decrypt(body[:_NONCE], body[_NONCE:], head + place.encode()).decode()
        except self._invalid:
            raise ValueError("the envelope does not belong to this row, or was altered") from None


def key_id(key: bytes) -> str:
    """A short public name of a key-encryption key, derived from it one way."""
    return sha256(b"rota key id" + key).hexdigest()[:12]


def parse_key(text: str) -> bytes:
    """A 32-byte key from its base64url text. Unusable if it is anything else."""
    try:
        key = urlsafe_b64decode(text.strip() + "=" * (-len(text.strip()) % 4))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise Unusable("A sealing key must be 32 bytes in base64url (43 characters);")
    return key


class LazySealer:
    """A sealer that reads, or makes, its key when the first secret comes by."""

    def __init__(self, key_text: str | None, key_file: Path) -> None:
        self._source = (key_text, key_file)
        self._sealer: Sealer | None = None

    def get(self) -> Sealer:
        """The sealer. Unusable if its key cannot be read."""
        if self._sealer is None:
            self._sealer = load(*self._source)
        return self._sealer


def load(key_text: str | None, key_file: Path) -> Sealer:
    """The sealer of this installation: the given key, or the key file, made (mode 0600) if it is not there yet."""
    if key_text is None and not key_file.exists():
        _make(key_file)
    keys = [parse_key(line) for line in (key_text or key_file.read_text()).split()]
    if not keys:
        raise Unusable(f"The sealing key file {key_file} is empty; restore it from your backup.")
    return Sealer({key_id(key): key for key in keys}, key_id(keys[0]))


def _make(key_file: Path) -> None:
    """Write a new key beside its place, then put it there whole: neither a crash nor another process meets half of it."""
    key_file.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=key_file.name + ".", dir=key_file.parent)  # readable by its owner only
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(urlsafe_b64encode(secrets.token_bytes(32)) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):  # another process was faster; its key is ours too
            os.link(draft, key_file)
    finally:
        Path(draft).unlink()
    folder = os.open(key_file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
