"""Reads what a tree of processes has used: CPU seconds and resident memory.

It promises to count a process and all its descendants, threads included, also those that have ended in the meantime
(their parent has inherited their times). It knows nothing of what the processes do.
"""

from __future__ import annotations

import contextlib

import psutil


class Gauge:
    """The CPU and memory of one process and everything below it."""

    def __init__(self, pid: int) -> None:
        self.root = psutil.Process(pid)

    def tree(self) -> list[psutil.Process]:
        """The process and all its living descendants."""
        return [self.root, *self.root.children(recursive=True)]

    def cpu(self) -> float:
        """User and system seconds used so far by the tree, the dead included; only differences mean anything."""
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
                # psutil has no such fields on macOS; there the ended children are not counted.
                total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return total

    def resident(self) -> int:
        """Resident bytes of the tree; pages that two of its processes share count twice."""
        total = 0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total
