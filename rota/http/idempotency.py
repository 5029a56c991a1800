"""Idempotency keys: a POST that is sent twice is done once.

Promises (an addition of ours; contract, decisions): the same key with the same body within 24 h replays the first reply,
byte for byte; with another body it is 400; while the first is still under way it is 409 and may be retried. Only successes
are kept. The reply is stored in the transaction that did the work, so that no crash can come between the two.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, TypeAlias

from rota.base.clock import DAY
from rota.base.errors import InFlight, InvalidRequest
from rota.base.wire import encode
from rota.http import sql
from rota.store.db import Db
from rota.store.tx import Tx

Name: TypeAlias = tuple[str, str, str]
"""What the caller's credential opens (a workspace, as a rule), route and key."""

REPLAYED = (b"idempotent-replayed", b"true")


def check(key: str) -> str:
    """The key itself. InvalidRequest unless it is 1 to 255 visible ASCII characters."""
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise InvalidRequest("Idempotency-Key: must be 1 to 255 printable ASCII characters")
    return key


@contextmanager
def claimed(under_way: set[Name], name: Name) -> Generator[None]:
    """Hold a key while its request is served. InFlight if this process is serving it already."""
    if name in under_way:
        raise InFlight("Idempotency-Key: a request with this key is still under way; try again shortly")
    under_way.add(name)
    try:
        yield
    finally:
        under_way.discard(name)


async def once(db: Db, name: Name, request: bytes, act: Callable[[Tx], Any]) -> tuple[Any, bytes | None]:
    """Do ``act`` unless ``name`` has done it before: its result, or the bytes of its first reply.

    ``request`` is what must be the same for a replay.
    """
    scope, route, key = name
    fingerprint = sha256(request).hexdigest()

    def transaction(tx: Tx) -> tuple[Any, bytes | None]:
        row = tx.one(sql.FIND_KEY, scope=scope, route=route, key=key, since=tx.now - DAY)
        if row is not None:
            if row[0] != fingerprint:
                raise InvalidRequest(
                    "Idempotency-Key: this key was used with another request; use a new key for a new request"
                )
            return None, row[1].encode()
        result = act(tx)
        tx.run(sql.DROP_OLD_KEYS, before=tx.now - DAY)
        tx.insert(sql.KEEP_REPLY, [(scope, route, key, fingerprint, encode(result).decode(), tx.now)])
        return result, None

    return await db.write(transaction)
