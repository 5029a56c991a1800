"""Sessions of self-hosted environments and the workers that run their tools: when a session wants one, and when no more.

A session wants a worker when a turn is about to begin, so that skills and memories are in place before the first call; whenever
a call is written that only a worker can run; and when somebody interrupts one that waits for results, since its worker may
have failed. It wants none any more when it comes to rest with nothing waiting in it, and when it has ended.
"""

from collections.abc import Iterable

import msgspec

from rota.base.who import Access, Who
from rota.resources.sessions import sql
from rota.resources.sessions.mounts import MemoryStoreResource, SessionResource
from rota.resources.work import wants
from rota.store.tx import Tx


class _Idle(msgspec.Struct):
    stop_reason: dict[str, object] = {}


_idle = msgspec.json.Decoder(_Idle).decode


def want(tx: Tx, who: Who, session_id: str, environment_id: str, resources: Iterable[SessionResource]) -> None:
    """A session of a self-hosted environment wants a worker; if it has one, that one is not let go before it has seen this."""
    wants.want(tx, [wants.Want(who.workspace_id, environment_id, session_id, stores(resources))])


def rest(tx: Tx, session_id: str) -> None:
    """The session has come to rest after a turn that is over. Nothing happens if something waits in it already."""
    if tx.one(sql.ANY_WAITING, session_id=session_id) is None:
        wants.rest(tx, session_id)


def waits_for_results(tx: Tx, session_id: str) -> bool:
    """Whether an idle session waits for somebody to do something, its worker perhaps."""
    row = tx.one(sql.LAST_IDLE, session_id=session_id)
    return row is not None and _idle(row[0]).stop_reason.get("type") == "requires_action"


def stores(resources: Iterable[SessionResource]) -> dict[str, Access]:
    """The memory stores among a session's resources, and what it may do with each."""
    return {each.memory_store_id: each.access for each in resources if isinstance(each, MemoryStoreResource)}
