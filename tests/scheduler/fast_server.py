"""``rota serve`` with a clock that runs fast, and with places in it where it kills itself: for proofs only.

``ROTA_FAST`` is ``<virtual start> <real start> <factor>`` (microseconds UTC, the same for every process of an installation):
the virtual time that every process shows, whichever database it uses. ``ROTA_STEP`` names
a file with microseconds by which the clock is wrong, read each time anybody asks. ``ROTA_CRASH_AT`` is ``<place> <n>``: the process kills
itself (SIGKILL) when it comes to that place for the n-th time. ``ROTA_PLANT`` names a bug of ``sim.plants``, to see that a
proof finds it. Everything else is the program as it is.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rota.cli.serve  # noqa: F401 - so that who forks off this has read all that a server needs
from rota import main as program
from rota.base.clock import SECOND, Ruler
from rota.cli import root
from rota.resources.deployments import due
from rota.store.front import Front
from rota.store.sqlite import SqliteDb
from tests.scheduler.sim.plants import PLANTS

PLACES = ("claimed", "fired", "moved", "before commit", "after commit")
"""In the order in which a batch comes to them."""


class FastClock:
    """Real time, so many times as fast."""

    ruler: Ruler = "hand"  # PostgreSQL's own clock is as slow as ever

    def __init__(self) -> None:
        start, since, factor = os.environ["ROTA_FAST"].split()
        self._start, self._since, self._factor = int(start), int(since), int(factor)
        self._step = Path(step) if (step := os.environ.get("ROTA_STEP")) else None

    def now(self) -> int:
        wrong = 0 if self._step is None else int(self._step.read_text())
        return self._start + (time.time_ns() // 1000 - self._since) * self._factor + wrong

    def seconds(self, span: int) -> float:
        return span / SECOND / self._factor


class Fuse:
    """Counts how often each place is come to, and burns down at one of them."""

    def __init__(self) -> None:
        place, _, number = os.environ.get("ROTA_CRASH_AT", "").rpartition(" ")
        self._place, self._left = place, int(number or 0)

    def at(self, place: str) -> None:
        if place == self._place:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def install() -> None:
    """Put the clock and the fuse in."""
    fuse = Fuse()
    program.SystemClock = FastClock  # type: ignore[misc, assignment]

    def behind(where: Any, name: str, place: str) -> None:
        original: Callable[..., Any] = getattr(where, name)

        def then(*args: Any, **more: Any) -> Any:
            result = original(*args, **more)
            fuse.at(place)
            return result

        setattr(where, name, then)

    def before(where: Any, name: str, place: str, *, only: Callable[..., bool] = lambda *_: True) -> None:
        original: Callable[..., Any] = getattr(where, name)

        def first(*args: Any, **more: Any) -> Any:
            if only(*args):
                fuse.at(place)
            return original(*args, **more)

        setattr(where, name, first)

    before(due, "_decide", "claimed")
    behind(due, "run", "fired")
    due._deal_with.__defaults__ = (due.run,)  # type: ignore[attr-defined]
    behind(due, "_move_on", "moved")
    behind(due, "_deal_with", "before commit")
    before(Front, "_deliver", "after commit", only=lambda *args: len(args) > 2 and "turns" in args[2])
    if plant := os.environ.get("ROTA_PLANT"):
        PLANTS[plant](contextlib.ExitStack())
    original = SqliteDb.__init__

    def often(self: SqliteDb, *args: Any, **more: Any) -> None:
        original(self, *args, **more)
        self._writer.execute("PRAGMA wal_autocheckpoint = 30")  # so that many a kill meets a checkpoint

    SqliteDb.__init__ = often  # type: ignore[method-assign]


def main(arguments: Sequence[str] | None = None) -> None:
    """Be ``rota``, with these arguments or those of the process."""
    install()
    if arguments is not None:
        sys.argv[1:] = arguments
    root.main()


if __name__ == "__main__":
    main()
