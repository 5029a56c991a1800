"""Where the sealing keys come from: a text in the environment, or a file beside the data.

Promises: the file is made whole and for its owner alone when the first secret comes by; it is changed by putting a new one
in its place, so that nobody ever reads half of it; a server that runs meanwhile notices at its next secret.
The first line seals, the others only open. Does not look for what is sealed.
"""

import fcntl
import os
import secrets
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from rota.base.errors import Unusable
from rota.base.seal import Sealer

_Mark: TypeAlias = tuple[int, int, int]


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
        raise Unusable("A sealing key must be 32 bytes in base64url (43 characters).")
    return key


def new_key() -> str:
    """A fresh key, as text."""
    return urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


class LazySealer:
    """A sealer that reads, or makes, its key when the first secret comes by, and follows the file from then on."""

    def __init__(self, key_text: str | None, key_file: Path) -> None:
        self._source = (key_text, key_file)
        self._held: tuple[_Mark | None, Sealer] | None = None

    def get(self) -> Sealer:
        """The sealer, of the keys as they are now: one look at the file's name, a microsecond or two. Unusable at first.

        While a file that was read before cannot be read, the keys of then stay in use.
        """
        key_text, key_file = self._source
        held, mark = self._held, None if key_text is not None else _mark(key_file)
        if held is not None and mark in (held[0], None):
            return held[1]
        try:
            sealer = load(key_text, key_file)
        except (Unusable, OSError, UnicodeDecodeError):
            if held is None:
                raise
            return held[1]
        if mark is not None or key_text is not None:  # a file that was just made is read once more, next time
            self._held = (mark, sealer)
        return sealer


def _mark(key_file: Path) -> _Mark | None:
    try:
        found = key_file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def load(key_text: str | None, key_file: Path) -> Sealer:
    """The sealer of this installation: the given key, or the key file, made (mode 0600) if it is not there yet."""
    if key_text is None and not key_file.exists():
        _make(key_file)
    keys = read(key_text, key_file)
    if not keys:
        raise Unusable(f"The sealing key file {key_file} is empty; restore it from your backup.")
    return Sealer({key_id(key): key for key in keys}, key_id(keys[0]))


def read(key_text: str | None, key_file: Path) -> list[bytes]:
    """The keys as they are; none if there is no file. Unusable if one is no key."""
    if key_text is None and not key_file.exists():
        return []
    return [parse_key(line) for line in (key_text or key_file.read_text()).split()]


@contextmanager
def changing(key_file: Path) -> Generator[None]:
    """Keep other commands from changing the file meanwhile. Unusable if one is about to."""
    folder = os.open(key_file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Unusable(f"Another command is changing {key_file}; wait for its end.") from None
    else:
        yield
    finally:
        os.close(folder)


def replace(key_file: Path, keys: Sequence[str]) -> None:
    """Put these keys in the file's place, the first one sealing, owner and mode as before. Unusable if that cannot be."""
    try:
        before = key_file.stat()
        draft = _draft(key_file, "".join(f"{key}\n" for key in keys))
        try:
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(draft, before.st_uid, before.st_gid)  # or the server could no longer read it
            draft.chmod(before.st_mode & 0o700)
            draft.replace(key_file)
        finally:
            draft.unlink(missing_ok=True)
        _sync(key_file.parent)
    except OSError as exc:
        raise Unusable(
            f"The sealing key file {key_file} cannot be replaced: {exc.strerror}. Run this as the user that owns it; where it "
            "is mounted read-only, put a line with the new key in front by whatever mounts it, and run this again."
        ) from exc


def _make(key_file: Path) -> None:
    """Write a new key beside its place, then put it there whole: neither a crash nor another process meets half of it."""
    key_file.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(key_file, new_key() + "\n")
    try:
        with suppress(FileExistsError):  # another process was faster; its key is ours too
            os.link(draft, key_file)
    finally:
        draft.unlink()
    _sync(key_file.parent)


def _draft(key_file: Path, text: str) -> Path:
    """A file beside it, on disk, readable by its owner only."""
    handle, name = tempfile.mkstemp(prefix=key_file.name + ".", dir=key_file.parent)
    with os.fdopen(handle, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    return Path(name)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
