"""Comparing what was predicted with what came back, where not everything can be predicted: new ids, cursors, free texts.

A ``Fresh`` is a new id: any text of the right form when it is first compared, and that very text from then on.
"""

import re
from collections.abc import Iterator
from typing import Any

_ID = "01[0-9A-HJ-Za-z]{22}"


class Fresh:
    """An id that the server is about to choose. No two of one ``taken`` set may turn out to be the same."""

    def __init__(self, prefix: str, taken: set[str]) -> None:
        self.prefix = prefix
        self._taken = taken
        self._text: str | None = None

    def accepts(self, text: object) -> bool:
        """Whether ``text`` is, or may be, this id; it is from then on."""
        if self._text is None:
            if not isinstance(text, str) or text in self._taken or not re.fullmatch(self.prefix + _ID, text):
                return False
            self._text = text
            self._taken.add(text)
        return text == self._text

    def __str__(self) -> str:
        assert self._text is not None, f"the server never gave this {self.prefix} id"
        return self._text

    def __repr__(self) -> str:
        return self._text or f"<new {self.prefix}>"


class Saying:
    """A message whose wording is free, as long as these words are in it."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def accepts(self, text: object) -> bool:
        """Whether it is such a message."""
        return isinstance(text, str) and bool(text) and all(word in text for word in self._words)

    def __repr__(self) -> str:
        return f"<text with {self._words}>"


ANYTHING_SAID = Saying()
CURSOR = Saying("page_")


def differences(expected: Any, actual: Any, path: str = "body") -> Iterator[str]:
    """What is not as expected, a line each; nothing if all is."""
    if isinstance(expected, Fresh | Saying):
        if not expected.accepts(actual):
            yield f"{path}: expected {expected!r}, got {actual!r}"
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted(expected.keys() | actual.keys()):
            if key not in actual:
                yield f"{path}.{key}: missing, expected {expected[key]!r}"
            elif key not in expected:
                yield f"{path}.{key}: not expected, got {actual[key]!r}"
            else:
                yield from differences(expected[key], actual[key], f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path}: expected {len(expected)} items, got {len(actual)}: {expected!r} and {actual!r}"
            return
        for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif type(expected) is not type(actual) or expected != actual:
        yield f"{path}: expected {expected!r}, got {actual!r}"
