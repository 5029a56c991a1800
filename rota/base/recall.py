"""What was worked out before and need not be again: a bounded memory, which any thread may ask.

Promises: the total weight of what is kept stays below a limit, and what was asked for longest ago goes first. Whether what is
kept is still right is the caller's to know: keep what cannot change, or keep beside it what it was made from and compare.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Recall(Generic[K, T]):
    """Values by key, up to a total weight in whatever unit the caller counts."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[K, tuple[T, int]] = OrderedDict()
        self._weight = 0
        self._lock = Lock()

    def find(self, keys: Iterable[K]) -> dict[K, T]:
        """Those that are known."""
        found: dict[K, T] = {}
        with self._lock:
            for key in keys:
                entry = self._kept.get(key)
                if entry is not None:
                    self._kept.move_to_end(key)
                    found[key] = entry[0]
        return found

    def keep(self, key: K, value: T, weight: int) -> None:
        """Remember one, and forget what no longer fits."""
        with self._lock:
            _, old = self._kept.pop(key, (None, 0))
            self._kept[key] = value, weight
            self._weight += weight - old
            while self._weight > self._limit:
                _, (_, freed) = self._kept.popitem(last=False)
                self._weight -= freed
