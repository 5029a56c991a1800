"""Secrets at rest: AES-256-GCM envelopes.

Promises: each secret has a data key of its own, wrapped by a key-encryption key that is named by id, so that rotation
re-wraps data keys without touching payloads; the place where a secret lives (its table, row and field) is authenticated,
so that a ciphertext moved to another row or field does not open.
Does not store anything, and never returns a secret in an error. Where keys come from is in ``key_file``.

Format, version 2: one byte version, one byte length of the key id, key id; 12-byte nonce and 48-byte wrapped data key;
12-byte nonce and ciphertext of the secret. The wrapped key is bound to the place and to what stands before it, the
ciphertext to version and place. Version 1, which is opened and no longer written, bound the ciphertext to the key id too.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple, NewType

Place = NewType("Place", str)
"""Where a secret lives. Made by ``store.sealed.SealedColumn.place`` and nowhere else, so that rotation finds every secret."""

_VERSION = 2
_NONCE = 12
_WRAPPED = 32 + 16
_MOVED = "the envelope does not belong to this row and field, or was altered"


class UnknownKey(ValueError):
    """The key that an envelope names is not configured: ``key_id``. What is sealed with it is not lost while the key is not."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"a secret was sealed with the key {key_id}, which this server does not have: restore the sealing key file "
            "from your backup, or put that key back into ROTA_SEAL_KEY"
        )
        self.key_id = key_id


class _Parts(NamedTuple):
    version: int
    key_id: str
    head: bytes
    wrapped: bytes
    body: bytes


def _split(envelope: bytes) -> _Parts:
    size = envelope[1] if len(envelope) > 2 else 0
    head, rest = envelope[: 2 + size], envelope[2 + size :]
    cut = _NONCE + _WRAPPED
    if not head or head[0] not in (1, _VERSION) or len(rest) <= cut + _NONCE:
        raise ValueError("this is not an envelope of ours")
    return _Parts(head[0], head[2:].decode("ascii", "replace"), head, rest[:cut], rest[cut:])


def key_id_of(envelope: bytes) -> str:
    """The id of the key that an envelope is sealed with. ValueError for anything but an envelope."""
    return _split(envelope).key_id


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
        self.current = current

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of the keys that it opens with."""
        return frozenset(self._keys)

    def seal(self, secret: str, place: Place) -> bytes:
        """The envelope of ``secret`` for exactly this ``place``."""
        data_key, nonce = os.urandom(32), os.urandom(_NONCE)
        body = self._aead(data_key).encrypt(nonce, secret.encode(), bytes([_VERSION]) + place.encode())
        return self._wrap(data_key, place) + nonce + body

    def open(self, envelope: bytes, place: Place) -> str:
        """The secret. UnknownKey, or ValueError if the envelope is not for ``place``; without any part of the secret."""
        parts = _split(envelope)
        data_key = self._unwrap(parts, place)
        bound = (parts.head if parts.version == 1 else bytes([parts.version])) + place.encode()
        try:
            return self._aead(data_key).decrypt(parts.body[:_NONCE], parts.body[_NONCE:], bound).decode()
        except self._invalid:
            raise ValueError(_MOVED) from None

    def rewrap(self, envelope: bytes, place: Place) -> bytes:
        """The same secret with its data key wrapped by the current key; the ciphertext stays as it is.

        Raises as ``open``, but for a ciphertext that was altered, which nobody looks at here.
        """
        parts = _split(envelope)
        if parts.version == 1:  # its ciphertext is bound to the old key's name
            return self.seal(self.open(envelope, place), place)
        return self._wrap(self._unwrap(parts, place), place) + parts.body

    def _wrap(self, data_key: bytes, place: Place) -> bytes:
        key_id, nonce = self.current.encode(), os.urandom(_NONCE)
        head = bytes([_VERSION, len(key_id)]) + key_id
        return head + nonce + self._keys[self.current].encrypt(nonce, data_key, head + place.encode())

    def _unwrap(self, parts: _Parts, place: Place) -> bytes:
        key = self._keys.get(parts.key_id)
        if key is None:
            raise UnknownKey(parts.key_id)
        try:
            return key.decrypt(parts.wrapped[:_NONCE], parts.wrapped[_NONCE:], parts.head + place.encode())
        except self._invalid:
            raise ValueError(_MOVED) from None
