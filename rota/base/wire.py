"""JSON in and out: strict decoding, and refusals in the words that clients know.

Promises: whatever bytes come in, the outcome is a value of the asked type or an InvalidRequest; never another exception.
Duplicate keys, NaN, lone surrogates, numbers beyond 64 bits and nesting deeper than 64 are refused (RFC 8259 leaves them
to the receiver; a value that two readers understand differently is a hole).
Does not know any resource. Field rules live with the Structs, as msgspec constraints.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, NoReturn, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base.clock import from_datetime
from rota.base.errors import InvalidRequest
from rota.base.shapes import accepted

__all__ = [
    "UNSET",
    "Dialect",
    "Metadata",
    "MetadataPatch",
    "Secret",
    "UnsetType",
    "Wire",
    "check_metadata",
    "decode",
    "encode",
    "patch_metadata",
]

Dialect: TypeAlias = Literal["path", "tagged", "proto"]
"""Validators of the hosted service differ in their words: ``path`` (``name: Field required``; deployments), ``tagged`` (the
same, but a wrong ``type`` is told what would fit; environments), ``proto`` (``Failed to parse request body: unknown field
"x"``; agents, sessions)."""

T = TypeVar("T")

MAX_DEPTH = 64
LONG_BODY = 256 * 1024
"""Bytes from which on reading a body would hold up everybody else for too long: it is read on a thread."""
MAX_VALUES = 100_000
"""In a long body. Thirty megabytes of ``{},`` would be gigabytes of objects, whose making and unmaking stops all threads."""
_MAX_INT = 2**63

encode = msgspec.json.encode

Metadata: TypeAlias = dict[str, str]
MetadataPatch: TypeAlias = dict[str, str | None]

Id = Annotated[str, Meta(min_length=1, max_length=128)]

Secret: TypeAlias = Annotated[str, Meta(extra_json_schema={"writeOnly": True})]
"""A text that comes in and never goes out again, not even in a refusal.

The mark is what the OpenAPI document shows, and what the tests find every such field by, to plant a canary in it: whoever
marks a field need list it nowhere else.
"""


class Echo(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Base of small things that go out exactly as they came in, so that one Struct says both. Closed, as ``Wire`` is."""


class Wire(Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of everything that comes in: closed, since an ignored field is a silent lie (contract, decisions)."""


class ListQuery(Struct, kw_only=True):
    """What every list takes in its query. Subclasses add filters and bound ``limit``.

    ``TWO_WAY`` lists also give a cursor back; filters in ``FREE`` may change between the pages of one walk; ``WORDS`` says by
    field how a bad value is refused, where that was recorded in other words than ours.
    """

    TWO_WAY: ClassVar[bool] = False
    FREE: ClassVar[frozenset[str]] = frozenset()
    WORDS: ClassVar[Mapping[str, str]] = {}

    page: str | None = None

    def times(self) -> dict[str, int | None]:
        """The time filters that this list has, by name, in microseconds UTC; None where one was not sent."""
        names = [name for name in self.__struct_fields__ if name.startswith("created_at_")]
        return {name: None if getattr(self, name) is None else from_datetime(getattr(self, name)) for name in names}


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"duplicate key {json.dumps(key)}")
            seen.add(key)
    for key in found:
        if not key.isascii():
            key.encode()
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _integer(text: str) -> int:
    if len(text) > 20 or not -_MAX_INT <= (value := int(text)) < _MAX_INT:
        raise ValueError("a number is out of range: integers must fit in 64 bits")
    return value


_strict = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer)


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(item) for key, item in value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType] - JSON of unknown shape
    return isinstance(value, list) and any(_holds_nul(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON of unknown shape


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()  # pyright: ignore[reportUnknownMemberType] - JSON of unknown shape
            elif isinstance(item, list):
                below += item
        if not below:
            return False
        level = below
    return any(isinstance(item, dict | list) for item in level)


_OUTSIDE = re.compile(rb'[^"\[{,]*+(["\[{,])')
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+){0,1000}+("?)', re.DOTALL)
"""Steps over a body, from one comma, bracket or quote to the next. They never go back, and are short enough for others to
get their turn in between."""


def _check_size(body: bytes) -> None:
    """Refuse a long body of very many small values before anything is made of it. InvalidRequest, or nothing."""
    values = strings = at = 0
    while step := _OUTSIDE.match(body, at):
        at = step.end()
        if step[1] != b'"':
            values += 1
        else:
            strings += 1
            while (step := _INSIDE.match(body, at)) and not step[1]:
                if step.end() == at:
                    return  # it does not end, and the parser will say so
                at = step.end()
            assert step is not None
            at = step.end()
        if values > MAX_VALUES or strings > 2 * MAX_VALUES + 1:
            raise InvalidRequest(f"Failed to parse request body: more than {MAX_VALUES:,} values")


def check(body: bytes) -> None:
    """Refuse JSON that is malformed or that two readers could understand differently. InvalidRequest, or nothing."""
    if len(body) >= LONG_BODY:
        _check_size(body)
    try:
        text = body.decode()
        value = _strict.decode(text)
        if "\\u" in text:
            plain = json.dumps(value, ensure_ascii=False)
            plain.encode()  # a lone surrogate cannot be encoded
            if r"\u0000" in text and _holds_nul(value):
                raise ValueError("a string holds U+0000, which cannot be stored")
    except RecursionError:
        raise InvalidRequest(f"Failed to parse request body: nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeEncodeError:
        raise InvalidRequest("Failed to parse request body: a string holds a lone surrogate") from None
    except UnicodeDecodeError:
        raise InvalidRequest("Failed to parse request body: not valid UTF-8") from None
    except json.JSONDecodeError as exc:
        raise InvalidRequest(f"Failed to parse request body: {exc.msg} at character {exc.pos}") from None
    except ValueError as exc:
        raise InvalidRequest(f"Failed to parse request body: {exc}") from None
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _too_deep(value):
        raise InvalidRequest(f"Failed to parse request body: nested deeper than {MAX_DEPTH} levels")


def decode(body: bytes, kind: type[T], dialect: Dialect) -> T:
    """``body`` as a ``kind``, or an InvalidRequest in the words of ``dialect``."""
    if not body:
        body = b"{}"
    check(body)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(translate(str(exc), dialect, kind)) from None
    except (msgspec.DecodeError, RecursionError) as exc:
        raise InvalidRequest(f"Failed to parse request body: {exc}") from None


_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<key>key in )?\$\.?(?P<path>.*)`)?$", re.DOTALL)

_Rule: TypeAlias = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]
_NAMES = {
    "str": "string",
    "int": "integer",
    "bool": "boolean",
    "float": "number",
    "array": "list",
    "object": "object",
    "datetime": "RFC 3339 datetime",
}


def _kind(text: str) -> str:
    parts: list[str] = re.findall(r"[a-z]+", text)
    return " or ".join(_NAMES.get(part, part) for part in parts)


_RULES: list[_Rule] = [
    (re.compile(r"Expected `str` of length >= (\d+)"), lambda m: f"minimum string length is {m[1]}"),
    (re.compile(r"Expected `str` of length <= (\d+)"), lambda m: f"maximum string length is {m[1]}"),
    (
        re.compile(r"Expected `array` of length >= (\d+)"),
        lambda m: f"value must contain at least {m[1]} item{'' if m[1] == '1' else 's'}",
    ),
    (re.compile(r"Expected `array` of length <= (\d+)"), lambda m: f"value must contain no more than {m[1]} item(s)"),
    (re.compile(r"Expected `object` of length <= (\d+)"), lambda m: f"value must contain no more than {m[1]} entries"),
    (re.compile(r"Expected `\w+` >= (-?[\d.]+)"), lambda m: f"must be greater than or equal to {m[1]}"),
    (re.compile(r"Expected `\w+` <= (-?[\d.]+)"), lambda m: f"must be less than or equal to {m[1]}"),
    (re.compile(r"Expected `str` matching regex '(.*?)(?:\(\?!\\n\))?'"), lambda m: f"must match the pattern {m[1]}"),
    (re.compile(r"Invalid (?:enum )?value '(.*)'", re.DOTALL), lambda m: f'"{m[1]}" is not a valid value'),
    (re.compile(r"Invalid (?:enum )?value (.*)", re.DOTALL), lambda m: f"{m[1]} is not a valid value"),
    (re.compile(r"Invalid RFC3339 encoded datetime"), lambda _: "not a valid RFC 3339 datetime"),
    (re.compile(r"Expected `(.*)`, got `(.*)`"), lambda m: f"expected {_kind(m[1])}, got {_kind(m[2])}"),
]


def translate(text: str, dialect: Dialect, kind: Any = None) -> str:
    """Msgspec's sentence about a value, in the recorded words of the hosted validators. ``kind`` is what was decoded."""
    match = _WHERE.match(text)
    assert match is not None
    what, path = match["what"], (match["path"] or "").replace("[...]", "").replace("[][", "[")
    if match["key"]:
        path = f"{path} key".strip()
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        dotted = re.sub(r"\[(\d+)\]", r".\1", path)  # recorded with dots here, with brackets elsewhere
        return f"{_join(dotted, missing[1])}: Field required"
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL):
        if dialect == "proto":
            return f'Failed to parse request body: unknown field "{unknown[1]}"'
        return f"{_join(path, unknown[1])}: Extra inputs are not permitted"
    for pattern, say in _RULES:
        if rule := pattern.fullmatch(what):
            said = say(rule)
            break
    else:
        said = what
    if path and what.startswith("Invalid ") and dialect != "path":
        tags, values = accepted(kind, path)
        if dialect == "proto":
            return f"Failed to parse request: {path}: {said}" + (
                f"; expected one of {', '.join(values)}" if len(values) > 1 else ""
            )
        if tags:
            above, _, field = path.rpartition(".")
            given = what.partition(" value ")[2]
            known = ", ".join(f"'{tag}'" for tag in tags)
            return f"{above}: Input tag {given} found using '{field}' does not match any of the expected tags: {known}"
    return f"{path}: {said}" if path else f"Failed to parse request body: {said}"


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def check_metadata(metadata: Metadata) -> None:
    """At most 16 pairs, keys up to 64 characters, values up to 512 (contract, limits). InvalidRequest otherwise."""
    if len(metadata) > 16:
        raise InvalidRequest(
            f"invalid metadata: metadata map would have {len(metadata)} entries, exceeding the maximum of 16"
        )
    for key, value in metadata.items():
        if not 1 <= len(key) <= 64:
            raise InvalidRequest("invalid metadata: keys must have 1 to 64 characters")
        if len(value) > 512:
            raise InvalidRequest(f'invalid metadata: the value of "{key}" is longer than 512 characters')


def patch_metadata(metadata: Metadata, patch: MetadataPatch, *, empty_deletes: bool = False) -> Metadata:
    """``metadata`` with each key of ``patch`` set, or deleted where the patch has null; the limits hold for the result.

    ``empty_deletes``: an empty string deletes too (environments only; contract, environments).
    """
    merged = dict(metadata)
    for key, value in patch.items():
        if value is None or (empty_deletes and value == ""):
            merged.pop(key, None)
        else:
            merged[key] = value
    check_metadata(merged)
    return merged
