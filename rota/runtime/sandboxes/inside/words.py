"""JSON, by those parts of Python's own that are written in C.

``json`` itself is made of them, and of regular expressions, which no box needs before its first ``grep``: they would be a fifth of
the time until it is ready. Where a Python has the parts otherwise, ``json`` it is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from json import dumps, loads
else:
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner

        class _Plainly:
            """How to read: as ``json.loads`` does when it is told nothing."""

            strict = True
            object_hook = object_pairs_hook = None
            parse_int = int
            parse_float = parse_constant = float

        _scan = make_scanner(_Plainly)
        _chunks = make_encoder(None, None, encode_basestring_ascii, None, ": ", ", ", False, False, True)

        def loads(data: bytes) -> object:
            """What a text says. ValueError, if that is nothing."""
            text = data.decode()
            try:
                found, end = _scan(text, 0)
            except (StopIteration, SystemError):  # the latter where the parts look for an exception of the whole
                end = -1
            if end != len(text):
                raise ValueError("this is not JSON")
            return found

        def dumps(value: object) -> str:
            """A value as a text."""
            return "".join(_chunks(value, 0))

        if (
            loads(b'{"a": [1, 0.5, null, true, "\\ud800"]}') != {"a": [1, 0.5, None, True, "\ud800"]}
            or dumps([]) != "[]"
        ):
            raise ImportError("these parts are not those that were known")
    except Exception:  # whatever it is that another Python does otherwise
        from json import dumps, loads

__all__ = ["dumps", "loads"]
