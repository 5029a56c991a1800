"""What comes in as ``multipart/form-data``, part by part, without ever holding a whole body.

A route with ``upload`` gets its parts from ``Request.parts()`` (see ``Part``). Promises: not more of a body is in memory than
what came with one read of the socket; the sender waits while a handler works; a form that is malformed, cut short or beyond
a limit is refused in a sentence that says so; what the parser library calls an error never gets further than here. Does not
store, and does not trust a name or a type.
"""

import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, inspect

from rota.base.errors import InvalidRequest, TooLarge
from rota.base.wire import translate

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartParser

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
"""The parser warns of what is malformed, in words of its own and past our log; whoever sends it is told, and nobody else."""

MAX_PARTS = 1000
_MAX_HEADERS = 8
_MAX_HEADER = 8192
_MAX_BOUNDARY = 70  # RFC 2046

S = TypeVar("S", bound=Struct)
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Part(Protocol):
    """One part of a form. Its bytes are read, or skipped by asking for the next part; there is no going back."""

    name: str
    filename: str | None
    """The file name as sent, path and all; None for a plain field. Not trusted, not cleaned."""
    content_type: str
    """The part's own media type as sent, or ``""``. Not trusted."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The part's bytes."""
        ...

    async def text(self, *, limit: int = 65536) -> str:
        """A plain field's text. InvalidRequest if it is longer than ``limit`` bytes or not UTF-8."""
        ...


class _Mark(Enum):
    """What comes between bytes."""

    PART_ENDS = 1
    FORM_ENDS = 2


class Form:
    """The body of one request as parts. ``digests``: keep what ``fingerprint`` needs (costs one SHA-256 of everything)."""

    def __init__(self, receive: Receive, content_type: str, *, limit: int, digests: bool = False) -> None:
        self._receive = receive
        self._limit = limit
        self._parser = _parser(content_type, self)
        self._events: deque[_Event] = deque()
        """What the parser has found and nobody has asked for yet."""
        self._headers: dict[bytes, bytes] = {}
        self._header = (b"", b"")
        self._number = 0
        self._taken = 0
        self._closed = False
        """Whether the closing boundary has come."""
        self._read = False
        """Whether the body has been read to its end."""
        self._seen = sha256() if digests else None
        self._digest = sha256()

    async def parts(self) -> AsyncIterator[Part]:
        """The parts in order. Only when this has come to its end is it known that the form was whole."""
        while True:
            event = await self._next()
            if event is _Mark.FORM_ENDS:
                return
            if isinstance(event, _Part):
                yield event

    async def chunk(self) -> bytes | None:
        """The next bytes of the part under way; None at its end."""
        event = await self._next()
        assert not isinstance(event, _Part)
        return event if isinstance(event, bytes) else None

    @property
    def unread(self) -> bool:
        """Whether the sender may still be sending."""
        return not self._read

    def fingerprint(self) -> bytes:
        """What is the same for two forms of the same fields and files, whatever their boundaries. Only after the last part."""
        assert self._seen is not None
        assert self._read
        return self._seen.digest()

    async def _next(self) -> "_Event":
        while not self._events:
            if self._read:
                return _Mark.FORM_ENDS
            await self._feed()
        event = self._events.popleft()
        if self._seen is not None:
            self._note(event)
        return event

    def _note(self, event: "_Event") -> None:
        assert self._seen is not None
        if isinstance(event, _Part):
            self._digest = sha256(msgspec.json.encode([event.name, event.filename, event.content_type]))
        elif isinstance(event, bytes):
            self._digest.update(event)
        else:
            self._seen.update(self._digest.digest())

    async def _feed(self) -> None:
        """One read of the socket through the parser."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the request ended before its body was complete")
        body: bytes = message.get("body", b"")
        self._read = not message.get("more_body")
        self._taken += len(body)
        if self._taken > self._limit:
            raise too_large(self._limit)
        try:
            self._parser.write(body)
        except ValueError as exc:  # which all of the library's errors are
            raise InvalidRequest(f"the form is malformed: {exc}") from None
        if self._read and not self._closed:
            raise InvalidRequest("the form is cut short: its closing boundary is missing")

    # What the parser calls

    def on_part_begin(self) -> None:
        """A boundary has come."""
        self._number += 1
        if self._number > MAX_PARTS:
            raise InvalidRequest(f"the form has more than {MAX_PARTS} parts")
        self._headers = {}
        self._header = (b"", b"")

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        """Some of a header's name has come."""
        self._header = (self._header[0] + data[start:end], b"")

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        """Some of a header's value has come."""
        self._header = (self._header[0], self._header[1] + data[start:end])

    def on_header_end(self) -> None:
        """A header is whole."""
        name = self._header[0].lower()
        if name in self._headers:
            raise InvalidRequest("the form is malformed: a part has one header twice")
        self._headers[name] = self._header[1].strip()
        self._header = (b"", b"")

    def on_headers_finished(self) -> None:
        """A part's bytes follow."""
        self._events.append(_part(self, self._headers))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Some of a part's bytes have come; a slice of everything is no copy."""
        if end > start:
            self._events.append(data[start:end])

    def on_part_end(self) -> None:
        """A part is whole."""
        self._events.append(_Mark.PART_ENDS)

    def on_end(self) -> None:
        """The closing boundary has come; what follows it is read and means nothing."""
        self._closed = True


class _Part:
    """See ``Part``."""

    __slots__ = ("_form", "content_type", "filename", "name")

    def __init__(self, form: Form, name: str, filename: str | None, content_type: str) -> None:
        self._form = form
        self.name = name
        self.filename = filename
        self.content_type = content_type

    async def chunks(self) -> AsyncIterator[bytes]:
        """See ``Part.chunks``."""
        while (chunk := await self._form.chunk()) is not None:
            yield chunk

    async def text(self, *, limit: int = 65536) -> str:
        """See ``Part.text``."""
        whole = bytearray()
        async for chunk in self.chunks():
            whole += chunk
            if len(whole) > limit:
                raise InvalidRequest(f"{self.name}: must be at most {limit} bytes")
        try:
            text = whole.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"{self.name}: not valid UTF-8") from None
        if "\0" in text:
            raise InvalidRequest(f"{self.name}: holds U+0000, which cannot be stored")
        return text


_Event: TypeAlias = _Part | bytes | _Mark


def _part(form: Form, headers: Mapping[bytes, bytes]) -> _Part:
    kind, options = _options(headers.get(b"content-disposition", b""))
    if kind != "form-data" or "name" not in options:
        raise InvalidRequest('the form is malformed: a part has no content-disposition: form-data; name="…"')
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    return _Part(form, options["name"], options.get("filename"), content_type)


def _parser(content_type: str, form: Form) -> "MultipartParser":
    kind, options = _options(content_type.encode("latin-1"))
    boundary = options.get("boundary", "")
    if kind != "multipart/form-data":
        raise InvalidRequest("content-type: must be multipart/form-data")
    if not 1 <= len(boundary) <= _MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise InvalidRequest("content-type: multipart/form-data needs a boundary of 1 to 70 characters")
    # Loaded here: 20 ms that a server to which nobody uploads need not pay.
    from python_multipart.multipart import MultipartParser

    callbacks: Any = {name: getattr(form, name) for name in dir(form) if name.startswith("on_")}
    return MultipartParser(boundary, callbacks, max_header_count=_MAX_HEADERS, max_header_size=_MAX_HEADER)


_OPTION = re.compile(rb"""\s*;\s*([\w!#$%&'+.^`|~-]+\*?)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"\s]*)""")


def _options(value: bytes) -> tuple[str, dict[str, str]]:
    r"""A header such as ``form-data; name="x"`` as its first word and its options. InvalidRequest.

    In quotes, ``\"`` and ``\\`` stand for the character after the backslash and every other backslash for itself, as
    browsers send it. The extended notation (``filename*=``) is forbidden in forms (RFC 7578 §4.2) and passed over.
    """
    kind, _, _ = value.partition(b";")
    at, options = len(kind), dict[str, str]()
    while match := _OPTION.match(value, at):
        at = match.end()
        name = match[1].decode("latin-1").lower()
        text = match[2]
        if text.startswith(b'"'):
            text = re.sub(rb'\\(["\\])', rb"\1", text[1:-1])
        if name in options:
            raise InvalidRequest(f"the form is malformed: a header gives {name} twice")
        if not name.endswith("*"):
            try:
                options[name] = text.decode()
            except UnicodeDecodeError:
                raise InvalidRequest("the form is malformed: a header is not valid UTF-8") from None
    if value[at:].strip(b" \t;"):
        raise InvalidRequest("the form is malformed: a header cannot be read")
    return kind.strip().lower().decode("latin-1"), options


def plain(kind: type[S], texts: Mapping[str, str]) -> S:
    """The plain fields of a form as the route's ``upload`` Struct; its file fields are left empty. InvalidRequest."""
    files: dict[str, Any] = {name: [] if many else b"" for name, many in file_fields(kind).items()}
    try:
        return msgspec.convert({**texts, **files}, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(translate(str(exc), "path")) from None


def file_fields(kind: type[Struct]) -> dict[str, bool]:
    """The names of a form's file fields (``bytes``, or a list of them), and whether one may come many times."""
    shape = inspect.type_info(kind)
    assert isinstance(shape, inspect.StructType)
    found: dict[str, bool] = {}
    for each in shape.fields:
        inner = each.type.type if isinstance(each.type, inspect.Metadata) else each.type
        if isinstance(inner, inspect.BytesType):
            found[each.encode_name] = False
        elif isinstance(inner, inspect.ListType) and isinstance(inner.item_type, inspect.BytesType):
            found[each.encode_name] = True
    return found


def too_large(limit: int) -> TooLarge:
    """The refusal of a body over ``limit`` bytes."""
    return TooLarge(f"The request body is larger than {limit // 1024 // 1024} MB.")
