"""Who has which item: handing out, acknowledging, heartbeats, and the end (contract, work: life cycle, endpoints).

Promises: an item that was handed out is nobody else's until it was not acknowledged for as long as the next poller says, or
its lease has ended; who lost it is told so by every heartbeat and may not stop it. Leases follow the house's clock.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from rota.base.clock import SECOND, to_datetime
from rota.base.errors import Conflict, HeartbeatFailed, InvalidRequest, NotFound, Refusal
from rota.base.who import Who
from rota.base.wire import encode
from rota.resources.environments import actions as environments
from rota.resources.environments.wire import Cloud
from rota.resources.work import items, sql, tokens, wants
from rota.resources.work.items import TTL, Item
from rota.resources.work.wire import Heartbeat, HeartbeatWork, StopWork, Work
from rota.store.tx import Tx

MILLISECOND = SECOND // 1000
NO_HEARTBEAT = "NO_HEARTBEAT"
POLLING = 30 * SECOND
"""How long after its last poll a worker counts as polling."""
LINGER = 600 * SECOND
"""How long a worker may keep a session that has come to rest."""
_NOTED_EVERY = 5 * SECOND
_SHORTEST, _LONGEST = 10, 3600


class Poll(Struct, frozen=True, kw_only=True):
    """A worker that asks for work. ``reclaim`` is in microseconds; ``worker_id`` is what it calls itself, if it does."""

    who: Who
    environment_id: str
    reclaim: int
    worker_id: str | None = None


def look(tx: Tx, who: Who, poll: Poll) -> bool:
    """Whether it is worth a transaction that writes to ask for work, or to note who asks. NotFound, InvalidRequest."""
    environment = environments.find_many(tx, [poll.environment_id]).get(poll.environment_id)
    if (refusal := _refusal(poll, environment)) is not None:
        raise refusal
    if who.workspace_archived or who.organization_disabled:
        return False
    if poll.worker_id is not None and not _is_noted(tx, poll, poll.worker_id):
        return True
    found = tx.one(sql.PEEK, environment_id=poll.environment_id, now=tx.now, before=tx.now - poll.reclaim)
    return found is not None


def hand_out(tx: Tx, polls: Sequence[Poll]) -> list[Work | None | Refusal]:
    """An item for each of those who ask, while there are any."""
    known = environments.find_many(tx, sorted({poll.environment_id for poll in polls}))
    noted: dict[tuple[str, str], int] = {}
    for poll in polls:
        if poll.worker_id is not None and not _is_noted(tx, poll, poll.worker_id):
            noted[poll.environment_id, poll.worker_id] = tx.now
    if noted:
        tx.insert(sql.NOTE_POLLER, [(*key, now) for key, now in noted.items()])
        for environment_id in {key[0] for key in noted}:
            tx.run(sql.DROP_OLD_POLLERS, environment_id=environment_id, before=tx.now - 2 * POLLING)
    return [_refusal(poll, known.get(poll.environment_id)) or _next(tx, poll) for poll in polls]


def _refusal(poll: Poll, environment: environments.Facts | None) -> Refusal | None:
    if environment is None or environment.workspace_id != poll.who.workspace_id:
        return NotFound(f"Environment {poll.environment_id} not found.")
    if isinstance(environment.config, Cloud):
        return InvalidRequest(
            f"Only BYOC and bridge environments support work polling. Environment {environment.id} is anthropic_cloud."
        )
    return None


def _is_noted(tx: Tx, poll: Poll, worker_id: str) -> bool:
    row = tx.one(sql.SEEN, environment_id=poll.environment_id, worker_id=worker_id)
    return row is not None and tx.now - _NOTED_EVERY < row[0] <= tx.now


def _next(tx: Tx, poll: Poll) -> Work | None:
    for row in tx.all(sql.DYING, environment_id=poll.environment_id, now=tx.now):
        dead = items.as_of(row, tx.now)
        items.save(tx, [dead])
        if dead.again:
            wants.want(tx, [wants.anew(dead)])
    row = tx.one(sql.PICK, environment_id=poll.environment_id, now=tx.now, before=tx.now - poll.reclaim)
    if row is None:
        return None
    item = items.as_of(row, tx.now)
    body = replace(item.body, rested_at=None)
    given = replace(item, delivered_at=tx.now, lease_until=tx.now + TTL * SECOND, again=False, body=body)
    items.save(tx, [given])
    tx.run(sql.END_GRACE, session_id=item.session_id, now=tx.now)
    return items.shown(given, tokens.mint(tx, given))


def acknowledge(tx: Tx, who: Who, environment_id: str, work_id: str) -> Work:
    """The worker has got the item. Conflict unless it waits for that."""
    item = find(tx, who, environment_id, work_id)
    if item.state != "queued":
        raise Conflict(f"Work item {item.id} must be in QUEUED state to acknowledge. Current state: {item.state}.")
    taken = replace(
        item,
        state="starting",
        delivered_at=item.delivered_at or tx.now,
        lease_until=tx.now + TTL * SECOND,
        body=replace(item.body, acknowledged_at=tx.now),
    )
    items.save(tx, [taken])
    return items.shown(taken)


def heartbeat(tx: Tx, who: Who, environment_id: str, work_id: str, query: HeartbeatWork) -> Heartbeat:
    """The worker still works. HeartbeatFailed if somebody else has the item, or may have it."""
    item = find(tx, who, environment_id, work_id)
    if item.state in ("stopping", "stopped"):
        return Heartbeat(
            last_heartbeat=_said(item) or "", lease_extended=False, state=item.state, ttl_seconds=item.body.ttl_seconds
        )
    expected = query.expected_last_heartbeat
    fits = expected is None or expected == (_said(item) or NO_HEARTBEAT)
    if not fits or item.state == "queued" or _is_stale(tx, who, item):
        raise HeartbeatFailed(
            f"The last heartbeat of work item {item.id} is not the expected one; another worker may hold the lease.",
            last_heartbeat=_said(item),
            state=item.state,
            ttl_seconds=item.body.ttl_seconds,
        )
    if _lingers(item, tx.now):
        item = _ask_to_stop(tx, item)
        return Heartbeat(
            last_heartbeat=_said(item) or "", lease_extended=False, state=item.state, ttl_seconds=item.body.ttl_seconds
        )
    ttl = TTL if query.desired_ttl_seconds is None else min(max(query.desired_ttl_seconds, _SHORTEST), _LONGEST)
    body = replace(
        item.body,
        heartbeat_at=max(tx.now, (item.body.heartbeat_at or 0) + 1),  # no two are the same text, however the clock goes
        holder=item.body.holder or (who.key_id if who.scope == "session" else None),
        ttl_seconds=ttl,
    )
    kept = replace(item, state="active", lease_until=tx.now + ttl * SECOND, body=body)
    items.save(tx, [kept])
    return Heartbeat(last_heartbeat=_said(kept) or "", lease_extended=True, state="active", ttl_seconds=ttl)


def stop(tx: Tx, who: Who, environment_id: str, work_id: str, body: StopWork) -> Work:
    """End the work on an item: at once, or by its worker at the next heartbeat. Again is the same answer.

    Conflict for a worker that has lost the item: whoever has it now goes on.
    """
    item = find(tx, who, environment_id, work_id)
    if item.state == "stopped":
        if who.scope == "session" and not _is_stale(tx, who, item):
            items.save(tx, [replace(item, lease_until=tx.now)])  # its worker has heard of it, and leaves
        return items.shown(item)
    if _is_stale(tx, who, item):
        raise Conflict(f"Work item {item.id} was handed out anew; only whoever has it now may stop it.")
    if item.state == "queued" or body.force:
        leaving = who.scope == "session"  # it has done all that it wanted to do
        return items.shown(wants.stop(tx, item, until=tx.now if leaving else tx.now + items.GRACE))
    if item.state == "stopping":
        return items.shown(item)
    return items.shown(_ask_to_stop(tx, item))


def _ask_to_stop(tx: Tx, item: Item) -> Item:
    asked = replace(item, state="stopping", body=replace(item.body, stop_requested_at=tx.now))
    items.save(tx, [asked])
    return asked


def _lingers(item: Item, now: int) -> bool:
    """Whether its worker has long had nothing to do. The official one goes home a minute after a turn, unless anything at all
    is written into the log in that minute, such as a new title: then it would stay until the next turn."""
    rested_at = item.body.rested_at
    return item.state == "active" and not item.again and rested_at is not None and now - rested_at >= LINGER


def find(tx: Tx, who: Who, environment_id: str, work_id: str) -> Item:
    """The item as it is now. NotFound; a sessions token finds its own only."""
    row = tx.one(sql.GET, id=work_id, environment_id=environment_id, workspace_id=who.workspace_id)
    if row is None or who.work_id not in (None, work_id):
        raise NotFound(f"Work item {work_id} not found.")
    return items.as_of(row, tx.now)


def _is_stale(tx: Tx, who: Who, item: Item) -> bool:
    """Whether the caller's hand-out is over. Read anew: it may have ended since the caller was let in."""
    if who.scope != "session":
        return False
    row = tx.one(sql.ROUND, id=who.key_id)
    return row is None or not tokens.holds(who, row[0], item, tx.now)


def _said(item: Item) -> str | None:
    """The last heartbeat as its worker was told it, and as the item shows it."""
    return None if item.body.heartbeat_at is None else encode(to_datetime(item.body.heartbeat_at)).decode().strip('"')
