"""Sessions of self-hosted environments and the workers that run their tools: when a session wants one, and when no more.

A session wants a worker when a turn is about to begin, so that skills and memories are in place before the first call; whenever
a call is written that only a worker can run; and when somebody interrupts one that waits for results, since its worker may
have failed. It wants none any more when it comes to rest with nothing waiting in it, and when it has ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from rota.base.who import Access, Who
from rota.resources.sessions import sql
from rota.resources.sessions.mounts import MemoryStoreResource, SessionResource
from rota.resources.work import wants
from rota.store.tx import Tx

_ELSEWHERE = frozenset({"web_search", "web_fetch"})
"""Built-in tools that no worker runs."""


class Written(Protocol):
    """An event that goes into the log."""

    @property
    def type(self) -> str:
        """Its type."""
        ...

    @property
    def body(self) -> Mapping[str, Any]:
        """Its other fields."""
        ...


def want(tx: Tx, who: Who, session_id: str, environment_id: str, resources: Iterable[SessionResource]) -> None:
    """A session of a self-hosted environment wants a worker; if it has one, that one is not let go before it has seen this."""
    wants.want(tx, [wants.Want(who.workspace_id, environment_id, session_id, stores(resources))])


def follow(
    tx: Tx,
    who: Who,
    session_id: str,
    environment_id: str,
    resources: Iterable[SessionResource],
    written: Sequence[Written],
) -> None:
    """What a turn has written into the log, in the same transaction, tells whether a worker is wanted or not any more."""
    if any(_is_for_a_worker(event) for event in written):
        want(tx, who, session_id, environment_id, resources)
    over = [event for event in written if event.type in ("session.status_idle", "session.status_terminated")]
    if not over:
        return
    if over[-1].type == "session.status_terminated":
        wants.end(tx, session_id)
    elif over[-1].body["stop_reason"]["type"] != "requires_action" and not _anything_waits(tx, session_id):
        wants.rest(tx, session_id)


def stores(resources: Iterable[SessionResource]) -> dict[str, Access]:
    """The memory stores among a session's resources, and what it may do with each."""
    return {each.memory_store_id: each.access for each in resources if isinstance(each, MemoryStoreResource)}


def _is_for_a_worker(event: Written) -> bool:
    if event.type != "agent.tool_use":
        return False
    return event.body["name"] not in _ELSEWHERE and event.body.get("evaluated_permission") != "deny"


def _anything_waits(tx: Tx, session_id: str) -> bool:
    return tx.one(sql.ANY_WAITING, session_id=session_id) is not None
