"""A bell between the processes that share a PostgreSQL database, for what is looked at live.

A commit that woke a shared topic (see ``Tx.wake``) is told to the other processes after it, on a connection of the bell's own: a
NOTIFY inside a transaction makes all commits wait for one another. Whatever comes up while one statement is under way goes with
the next, so that under load there are few of them however many commits. Texts travel the same way.

Promises: never holds up whoever tells; a topic that is told several times before it is sent is sent once. What is told may be
lost, while the database is away for instance: then ``heard`` is called with nothing, and everything is to be looked at.
A process that hears for nobody does not listen, one that tells nothing does not connect.
"""

from collections.abc import Callable, Iterable, Sequence
from threading import Condition, Thread
from typing import TypeAlias

import psycopg

from rota.base import log
from rota.store.notices import Stop, notices

Told: TypeAlias = tuple[str, str | None]
"""A topic, and a text if it is not just a wake-up."""

SHARED = "events "
"""What the topics begin with that are told to other processes."""
MAX_TEXT = 7000
"""Bytes of a text, with its topic; a payload of PostgreSQL's takes 8000."""
_PAYLOAD = 7900
_CHANNEL = "rota_bell"
_WAITING = 10_000
_PAUSE = 0.01
"""Seconds between two statements, in which more collects."""
_AGAIN, _PATIENCE = 1.0, 5.0
_LISTEN = f"LISTEN {_CHANNEL}"
_NOTIFY = f"SELECT pg_notify('{_CHANNEL}', unnest(%s::text[]))"
_logger = log.get("store.bell")


class Bell:
    """Tells and hears. ``heard`` is called on a thread of the bell's, with what came, or with nothing after a gap."""

    def __init__(self, url: str, heard: Callable[[Sequence[Told]], None]) -> None:
        self._url = url
        self._heard = heard
        self._stop = Stop()
        self._news = Condition()
        self._untold: dict[Told, None] = {}
        self._own = 0
        """The connection that tells, by the number under which its own notifications come back."""
        self._threads: dict[str, Thread] = {}

    def tell(self, told: Iterable[Told]) -> None:
        """Tell the others, soon. From any thread."""
        with self._news:
            if self._stop.is_set():
                return
            if len(self._untold) > _WAITING:  # nobody is there to take it
                self._untold.clear()
            self._untold.update(dict.fromkeys(told))
            self._begin("tell", self._tell)
            self._news.notify()

    def listen(self) -> None:
        """Begin to hear, if that has not begun yet."""
        with self._news:
            if not self._stop.is_set():
                self._begin("listen", self._listen)

    def close(self) -> None:
        """Tell what is left, if the database is there, and hear no more."""
        with self._news:
            self._stop.set()
            self._news.notify()
        for thread in self._threads.values():
            thread.join(_PATIENCE)  # a database that took a statement may never answer
        if not any(thread.is_alive() for thread in self._threads.values()):
            self._stop.close()

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        if name not in self._threads:
            thread = self._threads[name] = Thread(target=work, name=f"postgres-bell-{name}", daemon=True)
            thread.start()

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            self._url, autocommit=True, connect_timeout=5, application_name="rota",
            options="-c synchronous_commit=off",  # there is nothing to be kept
        )  # fmt: skip

    def _tell(self) -> None:
        connection = None
        while told := self._next():
            try:
                if connection is None or connection.closed:
                    connection = self._connect()
                    self._own = connection.info.backend_pid
                connection.execute(_NOTIFY, (payloads(told),))
            except psycopg.Error as exc:  # it is lost; the others look on a beat of their own
                _logger.warning("other processes could not be told", reason=log.redact(str(exc)).strip())
                if connection is not None:
                    connection.close()
                self._stop.wait(_AGAIN)
            self._stop.wait(_PAUSE)
        if connection is not None:
            connection.close()

    def _next(self) -> list[Told]:
        """What is to be told next; nothing at the end."""
        with self._news:
            while not self._untold and not self._stop.is_set():
                self._news.wait()
            told, self._untold = list(self._untold), {}
            return told

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(_LISTEN)
                    self._heard(())  # what came before nobody told us
                    for note in notices(connection, self._stop):
                        if note.pid != self._own:
                            self._heard(read(note.payload))
            except psycopg.Error as exc:
                _logger.warning("other processes cannot be heard", reason=log.redact(str(exc)).strip())
                self._stop.wait(_AGAIN)


def payloads(told: Iterable[Told]) -> list[str]:
    """What is told, a line each, in as few texts as will hold it. What is too long is left out."""
    found: list[str] = []
    lines, size = list[str](), 0
    for topic, text in told:
        line = topic.removeprefix(SHARED) if text is None else f"{topic.removeprefix(SHARED)}\t{text}"
        length = len(line.encode()) + 1
        if length > _PAYLOAD:
            continue
        if size + length > _PAYLOAD:
            found.append("\n".join(lines))
            lines, size = [], 0
        lines.append(line)
        size += length
    return [*found, "\n".join(lines)] if lines else found


def read(payload: str) -> list[Told]:
    """What a payload tells."""
    found: list[Told] = []
    for line in payload.split("\n"):
        topic, tab, text = line.partition("\t")
        found.append((SHARED + topic, text if tab else None))
    return found
