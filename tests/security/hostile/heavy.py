"""Bodies that are dear to read: thirty megabytes of whatever makes a parser work hardest. All of them must be refused."""

from collections.abc import Callable

SIZE = 31 * 1024 * 1024


def _fill(start: bytes, piece: bytes, end: bytes = b"") -> Callable[[], bytes]:
    return lambda: start + piece * (SIZE // len(piece)) + end


HEAVY: dict[str, Callable[[], bytes]] = {
    "a million keys": lambda: (
        b'{"name":"x","metadata":{' + b",".join(b'"k%d":"v"' % n for n in range(1_000_000)) + b"}}"
    ),
    "two million unknown keys": lambda: b'{"name":"x",' + b",".join(b'"k%d":0' % n for n in range(2_000_000)) + b"}",
    "empty objects": _fill(b'{"name":"x","metadata":[', b"{},", b"{}]}"),
    "empty lists": _fill(b'{"name":"x","metadata":[', b"[],", b"[]]}"),
    "numbers": _fill(b'{"name":"x","metadata":[', b"0,", b"0]}"),
    "short strings": _fill(b'{"name":"x","metadata":[', b'"a",', b'"a"]}'),
    "brackets that open": _fill(b"", b"["),
    "objects that open": _fill(b"", b'{"a":'),
    "escapes": _fill(b'{"name":"', b"\\u0061", b'"}'),
    "quotes, escaped": _fill(b'{"name":"', b'\\"', b'"}'),
    "quotes": _fill(b"", b'"'),
    "strings in a row": _fill(b"", b'"a"'),
    "one number": _fill(b'{"name":', b"1", b"}"),
    "one fraction": _fill(b'{"name":0.', b"1", b"}"),
    "one exponent": _fill(b'{"name":1e', b"1", b"}"),
    "nothing but space": _fill(b"", b" ", b"{}"),
    "a string that does not end": _fill(b'{"name":"', b"x"),
    "bytes that are no text": _fill(b'{"name":"', b"\xff", b'"}'),
}
"""What stands in the body, by its name; made when it is sent."""
