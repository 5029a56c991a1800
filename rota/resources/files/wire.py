"""Files as they travel, and the rules for names and types (contract, files).

One row underneath two shapes of the list: clients that send the dated beta ``files-api-2025-04-14``, or name a neighbour, walk
by neighbouring ids; all others by cursors.
"""

import mimetypes
import re
import unicodedata
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base.errors import InvalidRequest
from rota.base.wire import ListQuery, Wire

DATED = "files-api-2025-04-14"
"""The beta header that asks for the old shape of the list."""
MAX_FILE = 500 * 1024 * 1024
MAX_NAME = 255
MAX_IDS = 100
_SESSION = ("sesn_", "session_")
_FORBIDDEN = frozenset('<>:"|?*')
_MEDIA_TYPE = re.compile(r"([a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126})\s*(?:;.*)?")
_OCTETS = "application/octet-stream"
_TYPES = mimetypes.MimeTypes()  # the same on every machine: it does not read the machine's own tables


class UploadFile(Wire):
    """The form of ``POST /v1/files``. The file's name is its last path component; its type is guessed if it has none."""

    file: Annotated[bytes, Meta(description="The file, at most 500 MB.")]
    expires_in_seconds: Annotated[int, Meta(ge=3600, le=7_776_000)] | None = None


class ListFiles(ListQuery):
    """Query of ``GET /v1/files``. ``ids`` excludes ``page`` and ``limit``; the two ``*_id`` ask for the old shape."""

    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    scope_id: str | None = None
    ids: list[str] | None = msgspec.field(name="ids[]", default=None)
    after_id: str | None = None
    before_id: str | None = None

    def check(self) -> None:
        """The rules that bind several fields. InvalidRequest."""
        if self.scope_id is not None and not self.scope_id.startswith(_SESSION):
            raise InvalidRequest("scope_id: must be the id of a session, which begins with sesn_")
        if self.ids is not None:
            if self.limit is not None or self.page is not None:
                raise InvalidRequest("ids[]: cannot be used together with page or limit")
            if len(set(self.ids)) > MAX_IDS:
                raise InvalidRequest(f"ids[]: must have at most {MAX_IDS} entries")


class Scope(Struct, frozen=True, kw_only=True):
    """What a file belongs to: a session, with which it goes."""

    id: str
    type: Literal["session"] = "session"


class File(Struct, tag="file", tag_field="type", frozen=True, kw_only=True):
    """A file as it goes out. ``scope`` is there only if it belongs to a session."""

    id: str
    filename: str
    mime_type: str
    size_bytes: int
    created_at: datetime
    downloadable: bool
    expires_at: datetime | None
    scope: Scope | UnsetType = UNSET


class FileDeleted(Struct, tag="file_deleted", tag_field="type", frozen=True):
    """What a deletion answers."""

    id: str


class DatedFiles(Struct, frozen=True, kw_only=True):
    """A page in the old shape. ``has_more`` is about the direction that was asked for."""

    data: list[File]
    has_more: bool
    first_id: str | None
    last_id: str | None


def name_of(sent: str | None, mime_type: str) -> str:
    """The name that a file keeps: the last path component of what was sent, or ``unnamed`` with its type's extension.

    InvalidRequest for a name that is too long or holds what no file system takes.
    """
    name = re.split(r"[/\\]", sent or "")[-1]
    if not name:
        return "unnamed" + (_TYPES.guess_extension(mime_type) or "")
    if len(name) > MAX_NAME:
        raise InvalidRequest(f"file: the file name must have 1 to {MAX_NAME} characters")
    if name in (".", ".."):
        raise InvalidRequest(f'file: "{name}" is not a file name')
    for character in name:
        if character in _FORBIDDEN or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise InvalidRequest(
                f"file: the file name must not hold {character!a}, nor any of {''.join(sorted(_FORBIDDEN))} / \\ or "
                "control characters"
            )
    return name


def type_of(sent: str, filename: str | None) -> str:
    """The media type that a file keeps: what was sent, if it is one, without parameters; else what its name suggests."""
    match = _MEDIA_TYPE.fullmatch(sent.strip().lower())
    if match is not None and match[1] != _OCTETS:
        return match[1]
    return _TYPES.guess_type(filename or "", strict=True)[0] or _OCTETS
