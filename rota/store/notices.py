"""What a PostgreSQL connection is notified of, until somebody says stop.

Promises: whoever waits for notices ends at once when told to, not at the end of some beat: every command and every server
that closes its store waits for this.
"""

import os
import select
from collections.abc import Generator
from threading import Event
from weakref import finalize

import psycopg

_BEAT_MS = 500
"""Milliseconds after which a connection is looked at in any case: encrypted ones may hold back what has come."""


class Stop(Event):
    """An event that can be waited for beside a connection."""

    def __init__(self) -> None:
        super().__init__()
        self._reading, self._writing = os.pipe()
        self.close = finalize(self, _release, self._reading, self._writing)
        """Release the pipe; nobody may be waiting any more. At the latest it goes when nobody knows of this."""

    def fileno(self) -> int:
        """What can be read from once it is set."""
        return self._reading

    def set(self) -> None:
        """See ``Event``."""
        if not self.is_set():
            os.write(self._writing, b".")
        super().set()


def _release(*pipe: int) -> None:
    for end in pipe:
        os.close(end)


def notices(connection: psycopg.Connection[tuple[object, ...]], stop: Stop) -> Generator[psycopg.Notify]:
    """Notifications as they come. psycopg.Error when the connection is gone."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    waiting.register(stop.fileno(), select.POLLIN)
    while not stop.is_set():
        waiting.poll(_BEAT_MS)
        yield from connection.notifies(timeout=0)
