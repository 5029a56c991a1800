"""Values and texts that have broken other people's parsers, and ways to spoil a good body."""

import json
import re
from copy import deepcopy
from random import Random
from typing import Any, TypeAlias

Json: TypeAlias = Any

STRINGS = [
    "", " ", "\t\r\n", "x" * 257, "x" * 5_000, "\u0000", "a\u0000b", "\ud800", "\udfff\ud800", "\ufeff", "\ufffd", "\uffff",
    "\u202e\u0000", "é", "e\u0301", "İ", "ß", "ǆ", "ﷺ" * 50, "👨‍👩‍👧‍👦", "\U0010ffff", "\u2028\u2029", "Ⅷ", "１２３", "٣",
    "null", "undefined", "NaN", "Infinity", "-0", "1e999", "0x10", "1_000", "true", "[]", "{}", "../../etc/passwd",
    "..\\..\\", "%00", "%2e%2e%2f", "'; DROP TABLE agents --", "\" OR 1=1", "${7*7}", "{{7*7}}", "<script>alert(1)</script>",
    "a" * 64, "a" * 65, "\\", "\"", "'", "`", "$", "%s%s%s", "%n", "\x1b[31m", "\x7f", "\x80", "a/b", "/", "//", "a//b", ".", "..",
    "0 0 30 2 *", "* * * * *", "*/0 * * * *", "Europe/Berlin", "Etc/../UTC", "9999-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "-1", "99999999999999999999",
    "https://mcp.invalid/a/b", "https://[::1]/", "http://localhost:1/", "file:///etc/passwd", "javascript:1", "data:,x", "http://a" + ".b" * 200 + ".invalid",
    "(a+)+$" + "a" * 40 + "!", "sk-ant-api03-" + "x" * 80, "Bearer x", "text/plain\r\nx: y", "=" * 200, "A" * 1_000_000,
]  # fmt: skip
NUMBERS: list[Json] = [
    0, -1, 1, 2**31 - 1, 2**31, -(2**31) - 1, 2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**400, 0.1, -0.0, 1e308,
    1e-320, 1.5,
]  # fmt: skip
ODD: list[Json] = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"type": None},
    {"type": "x"},
    [1, "a", {}],
    "x",
]
NAMES = [
    "",
    "type",
    "id",
    "metadata",
    "__proto__",
    "constructor",
    "\u0000",
    "name\u0000",
    "näme",
    "x" * 10_000,
    "$ref",
    "a.b",
    "a[0]",
]


def value(random: Random, *, large: bool = False) -> Json:
    """Something odd, of any type. ``large`` lets the megabyte through."""
    kind = random.randrange(10)
    if kind < 5:
        text = random.choice(STRINGS)
        return text if large or len(text) < 10_000 else text[:300]
    if kind < 7:
        return random.choice(NUMBERS)
    if kind < 9:
        return deepcopy(random.choice(ODD))
    return nested(random, random.choice([1, 3, 63, 64, 65, 100]))


FILENAMES = [
    "", ".", "..", "../x", "/etc/passwd", "C:\\x", "a\\b", "a/b/c", "x" * 5_000, "a\x00b", "ä.txt", "a%00b", "a\"b", "CON", " ",
    "a\u202etxt", "SKILL.md", "my-skill/SKILL.md", "my-skill/../SKILL.md", "my-skill/" + "d/" * 200 + "f",
]  # fmt: skip


def spoil_form(random: Random, raw: bytes) -> bytes:
    """A form with something amiss: its bytes, its parts, or what they say of themselves."""
    spot = random.randrange(len(raw) + 1)
    match random.randrange(10):
        case 0:
            return raw[:spot]
        case 1:
            return raw[:spot] + bytes([random.randrange(256)]) + raw[spot:]
        case 2:
            return raw[:spot] + raw[spot + random.randrange(20) :]
        case 3:
            return raw.replace(b"\r\n", b"\n")
        case 4:
            first, _, rest = raw.partition(b"\r\n")
            return (first + b"\r\n" + rest.partition(first)[0]) * random.choice([2, 20, 1_100]) + raw
        case 5 | 6:
            return _renamed(rb'filename="[^"]*"', b'filename="' + random.choice(FILENAMES).encode() + b'"', raw)
        case 7:
            return _renamed(rb'name="[^"]*"', b'name="' + random.choice(NAMES).encode() + b'"', raw)
        case 8:
            return raw.replace(
                b"Content-Disposition",
                random.choice([b"X", b"Content-Disposition: x\r\nContent-Disposition", b"x" * 9_000]),
                1,
            )
        case _:
            return b"x" * random.choice([0, 1, 100_000]) + raw + b"y" * random.choice([0, 1, 100_000])


def _renamed(pattern: bytes, name: bytes, raw: bytes) -> bytes:
    return re.sub(pattern, lambda _: name, raw, count=1)


def nested(random: Random, depth: int) -> Json:
    """Lists and objects in one another, so deep."""
    found: Json = random.choice([0, "x", None])
    for _ in range(depth):
        found = [found] if random.random() < 0.5 else {"a": found}
    return found


def spoil(random: Random, body: Json) -> Json:
    """The body with one thing changed: a value, a key, or the shape of a part."""
    places = list(_places(body))
    if not places:
        return value(random)
    holder, key = random.choice(places)
    match random.randrange(8):
        case 0 | 1 | 2:
            holder[key] = value(random, large=random.random() < 0.01)
        case 3 if isinstance(holder, dict):
            del holder[key]
        case 4 if isinstance(holder, dict):
            holder[random.choice(NAMES)] = holder[key]
        case 5:
            holder[key] = [holder[key]] * random.choice([1, 2, 25, 501])
        case 6:
            holder[key] = (
                {"type": holder[key]} if random.random() < 0.5 else {key if isinstance(key, str) else "x": holder[key]}
            )
        case _:
            holder[key] = str(holder[key]) if not isinstance(holder[key], str) else len(holder[key])
    return body


def _places(node: Json) -> Any:
    if isinstance(node, dict):
        for key, below in list(node.items()):
            yield node, key
            yield from _places(below)
    elif isinstance(node, list):
        for index, below in enumerate(node):
            yield node, index
            yield from _places(below)


def text(random: Random, body: Json) -> bytes:
    """A body as bytes, sometimes in ways that no encoder would choose."""
    plain = json.dumps(body, ensure_ascii=random.random() < 0.7).encode("utf-8", "surrogatepass")
    match random.randrange(40):
        case 0:  # a key twice
            return plain.replace(b"{", b'{"name":"a","name":"b",', 1)
        case 1:
            return plain.replace(b"{", b'{"x":NaN,', 1)
        case 2:
            return plain.replace(b"{", b'{"x":1' + b"0" * random.choice([20, 5_000]) + b",", 1)
        case 3:
            return b"\xef\xbb\xbf" + plain
        case 4:
            return plain[: random.randrange(len(plain) + 1)]
        case 5:
            spot = random.randrange(len(plain) + 1)
            return plain[:spot] + bytes([random.randrange(256)]) + plain[spot:]
        case 6:
            return plain.decode("utf-8", "replace").encode(
                random.choice(["utf-16", "utf-32", "utf-16-le"]), "surrogatepass"
            )
        case 7:
            return plain + random.choice([b"}", b" {}", b"\x00", b",", b"\n" * 10_000])
        case 8:
            return random.choice(
                [b"", b"null", b"0", b'""', b"[]", b"\xff\xfe", b"{" * 5_000, b"[" * 100_000, b'"' * 3, b"{}{}"]
            )
        case 9:
            return b'{"metadata":{' + b",".join(b'"k%d":"v"' % n for n in range(random.choice([17, 2_000]))) + b"}}"
        case 10:
            return bytes(random.randrange(256) for _ in range(random.randrange(200)))
        case _:
            return plain
