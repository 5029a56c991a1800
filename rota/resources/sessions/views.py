"""Who sees which of a session's events: the views that streams have of its log (contract, SSE wire format).

``SESSION`` is the session's, ``PRIMARY`` the primary thread's own; any other thread's view is called by the thread's id.
"""

from collections.abc import Callable
from typing import Final

from rota.resources.sessions import sql

SESSION: Final = "session"
PRIMARY: Final = "primary"

Encode = Callable[[str, bytes], bytes]
"""An event of a type, and its JSON, as they travel."""


def views_of(thread_id: str | None, kind: str) -> tuple[str, ...]:
    """The views in which an event is seen; ``thread_id`` is a child thread's."""
    if thread_id is not None:
        return (thread_id,)
    return (SESSION,) if kind in sql.ABOUT_THE_SESSION else (SESSION, PRIMARY)
