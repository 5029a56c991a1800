"""An event loop whose time is made up: when nothing is ready, it is later."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class Stuck(Exception):
    """Everybody waits, and nobody for a time."""


class _Leaper(selectors.BaseSelector):
    """A selector without input and output: waiting is turning the clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck
        if timeout > 0:
            self.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what is ready, then leaps to the next timer."""

    def __init__(self) -> None:
        self._leaper = _Leaper()
        super().__init__(self._leaper)

    def time(self) -> float:
        """Seconds since the beginning of the world."""
        return self._leaper.now
