"""A session's log as it grows: what somebody who listens to it sees (contract, SSE wire format).

A stream begins now: its reader has been shown where the log ends, and gets what is processed from then on, as the lists show
it. What waits to be processed is not in it. Two events are on no list: ``session.deleted``, and ``session.status_terminated``
of a session that was archived; both follow from the row, so that every process tells of them, and both end the stream.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from rota.base import ids
from rota.base.clock import to_datetime
from rota.base.errors import NotFound
from rota.base.who import Who
from rota.base.wire import encode
from rota.queue.listener import Entry, Page, Preview
from rota.resources.sessions import log, sql
from rota.resources.sessions.previews import word_of
from rota.resources.sessions.rows import Stored, find
from rota.resources.sessions.views import PRIMARY, SESSION, Encode, views_of
from rota.store.tx import Row, Tx

_PAGE = 256 * 1024
"""Bytes of events that are read at once."""
_ROWS = 500


class Opening(Struct, frozen=True, kw_only=True):
    """Where a stream begins. ``over``: it ends there, too."""

    session_id: str
    view: str
    position: int
    over: bool


def open_session(tx: Tx, who: Who, session_id: str) -> Opening:
    """The stream of a session. NotFound."""
    session = find(tx, who, session_id)
    return _opening(tx, session, SESSION, over=_is_over(session))


def open_thread(tx: Tx, who: Who, session_id: str, thread_id: str) -> Opening:
    """The stream of one of its threads. NotFound."""
    session = find(tx, who, session_id)
    row = tx.one(sql.GET_THREAD, session_id=session.id, id=thread_id)
    if row is None:
        raise NotFound(f"Thread not found: {thread_id}")
    _, _, _, archived_at, parent_thread_id, status, _ = row
    over = _is_over(session) or archived_at is not None or status == "terminated"
    return _opening(tx, session, PRIMARY if parent_thread_id is None else thread_id, over=over)


def _opening(tx: Tx, session: Stored, view: str, *, over: bool) -> Opening:
    return Opening(session_id=session.id, view=view, position=log.end(tx, session.id).position, over=over)


def _is_over(session: Stored) -> bool:
    return session.archived_at is not None or session.status == "terminated"


class Logs:
    """The logs of all sessions, for ``queue.feed``; a key is a session's id."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def topic(self, key: str) -> str:
        """See ``Source.topic``."""
        return log.topic(key)

    def read(self, tx: Tx, key: str, after: int) -> Page:
        """See ``Source.read``."""
        rows, cut = tx.head(sql.TAIL, _PAGE, session_id=key, after=after, limit=_ROWS)
        entries = [self._entry(row) for row in rows]
        position = entries[-1].position if entries else after
        if cut or len(rows) == _ROWS:
            return Page(entries, position, more=True)
        session = tx.one(sql.STATE, id=key)
        if session is None:
            return Page(entries, position, over=True, last={None: self._farewell("session.deleted", key, tx.now)})
        status, ended_at = session
        if status != "terminated":
            return Page(entries, position)
        last: dict[str | None, bytes] = {}
        if tx.one(sql.IS_TERMINATED, session_id=key) is None:
            last[SESSION] = self._farewell("session.status_terminated", key, ended_at)
        return Page(entries, position, over=True, last=last)

    def ends(self, tx: Tx, keys: Sequence[str]) -> dict[str, int]:
        """See ``Source.ends``."""
        return {row[0]: row[1] for row in tx.all(sql.LOG_ENDS, ids=list(keys))}

    def heard(self, text: str) -> tuple[int, Preview] | None:
        """See ``Source.heard``."""
        try:
            word = word_of(text)
        except msgspec.DecodeError:  # a server of another version speaks otherwise
            return None
        return word.number, word.preview(self._encode)

    def _entry(self, row: Row) -> Entry:
        event_id, position, kind, _, _, thread_id = row
        return Entry(
            position,
            views_of(thread_id, kind),
            event_id,
            self._encode(kind, bytes(sql.to_event(row[:5]))),
            foretold=kind in ("agent.message", "agent.thinking"),
            closes=kind == "span.model_request_end",
            final=thread_id is not None and kind == "session.thread_status_terminated",
        )

    def _farewell(self, kind: str, session_id: str, moment: int) -> bytes:
        """An event that is in no log. Its id follows from the session's: every process tells of the same event."""
        event_id = ids.EVENT + session_id.removeprefix(ids.SESSION)
        body = {"id": event_id, "type": kind, "processed_at": to_datetime(moment)}
        return self._encode(kind, encode(body))
