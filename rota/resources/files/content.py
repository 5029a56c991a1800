"""The bytes of files: once for each workspace, for as long as one of its files has them.

Promises: a file has its bytes, all of them, from the moment it is there until it is deleted or expires; bytes that no file has
are removed, sooner or later, whatever is killed meanwhile. Two workspaces never share bytes, so that nobody can tell from how
long an upload took whether somebody else has the same file.

Why that holds. An upload writes its object first and then runs ``keep`` in the transaction that inserts the file. A file that
goes calls ``let_go`` in the transaction that deletes or expires it. Both are serializable, and both look at ``file_blobs``:

- Two uploads of the same bytes at once: one inserts the digest, the other finds it and uses that location; the unique index
  makes sure of it. The other's own object was never named by any row and never will be, so its upload removes it after the
  commit (``uploads``). If it is killed before that, the object is collected like any that a crash has left.
- A deletion and an upload of the same bytes at once: if the upload is first, the deletion finds a file with these bytes and
  leaves them. If the deletion is first, the row of the digest is gone and the object buried; the upload inserts its own.
- A deletion and a copy into a session at once: if the copy is first, the deletion finds that the bytes are in a set that is
  held. If the deletion is first, there is no file to be copied.
- An upload that is stopped (SIGSTOP, a laptop's lid) between its object and its transaction, until housekeeping has taken
  the object for a crash's: ``queue.objects.check`` refuses, in that transaction, and the caller is told to try again. That
  check is also made when the digest is found, where it would not be needed: one rule is easier to hold than two.
- A connection that breaks in the commit: nobody knows whether the row is there, so the upload does not remove its object;
  housekeeping does, if there is no row.
- A reader of bytes whose file is deleted meanwhile: a folder lets it read to the end, a bucket may cut it off, which it sees.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from rota.base.clock import DAY
from rota.base.errors import InvalidRequest
from rota.base.policy import Policy
from rota.queue import objects
from rota.queue.chore import Chore, Tools
from rota.resources.files import sql
from rota.store.blob import Written
from rota.store.tx import Tx

PREFIX = "files"
SHOWN = 30 * DAY
"""How long an expired file is still listed, without its bytes."""
_AT_ONCE = 200
_ROUNDS = 50


def keep(tx: Tx, workspace_id: str, written: Written, policy: Policy) -> str:
    """Where a file whose bytes have been written finds them: where they are, or where the workspace has them already.

    InvalidRequest if the workspace may not keep so much. Unavailable if the object may have been taken for nobody's.
    """
    objects.check(tx, written, policy.object_grace)
    row = tx.one(sql.BY_DIGEST, workspace_id=workspace_id, digest=written.digest)
    if row is not None:
        return row[0]
    check_room(tx, workspace_id, policy, written.size)
    tx.insert(sql.INSERT_BLOB, [(written.location, workspace_id, written.digest, written.size)])
    return written.location


def check_room(tx: Tx, workspace_id: str, policy: Policy, size: int) -> None:
    """InvalidRequest if the workspace may not keep ``size`` bytes more."""
    if policy.max_storage:
        row = tx.one(sql.USAGE, workspace_id=workspace_id)
        if row is not None and row[0] + size > policy.max_storage:
            raise InvalidRequest(
                f"The workspace's files may have {policy.max_storage >> 20} MB together. Delete files, then try again.",
                details={"error_code": "storage_quota_exceeded"},
            )


def let_go(tx: Tx, blobs: Sequence[str | None]) -> None:
    """Files with these bytes have gone: bury the bytes that no other file has."""
    locations = sorted({blob for blob in blobs if blob is not None})
    if locations:
        objects.bury(tx, [row[0] for row in tx.all(sql.DROP_BLOBS, locations=locations)])


def hold(tx: Tx, wanted: Mapping[str, Sequence[str]]) -> None:
    """Keep bytes for sessions that are given copies (locations by session), until ``let_go_of``.

    Sessions that are given the same in the same order share one set, so that each run of a deployment with 500 files but the
    first adds one row here.
    A copy that is deleted by itself gives up nothing: the set is held as long as the session is there.
    """
    sets = {session_id: _set_id(locations) for session_id, locations in wanted.items()}
    contents = {set_id: wanted[session_id] for session_id, set_id in sets.items()}
    written = {row[0] for row in tx.all(sql.KNOWN_SETS, ids=list(contents))}
    new = [set_id for set_id in contents if set_id not in written]
    if new:
        tx.insert(sql.INSERT_SETS, [(set_id,) for set_id in new])
        tx.insert(sql.INSERT_SET_BLOBS, [(location, set_id) for set_id in new for location in set(contents[set_id])])
    tx.insert(sql.HOLD_SETS, list(sets.items()))


def _set_id(locations: Sequence[str]) -> str:
    return blake2b("\n".join(locations).encode(), digest_size=16).hexdigest()


def let_go_of(tx: Tx, session_id: str) -> list[str]:
    """A session has gone: what was in the sets that nobody holds any more, to be handed to ``let_go``."""
    held = [row[0] for row in tx.all(sql.LET_GO_OF_SETS, session_id=session_id)]
    if not held:
        return []
    dropped = [row[0] for row in tx.all(sql.DROP_SETS, ids=held)]
    return [row[0] for row in tx.all(sql.DROP_SET_BLOBS, ids=dropped)] if dropped else []


def known(tx: Tx, locations: Sequence[str]) -> set[str]:
    """Those of the locations where bytes of files are kept."""
    return {row[0] for row in tx.all(sql.KNOWN_BLOBS, locations=list(locations))}


def expire(tx: Tx) -> int:
    """Take the bytes from files that have expired, and forget those that expired long ago; how many of both, at most 200 each."""
    due = tx.all(sql.DUE, now=tx.now, limit=_AT_ONCE)
    if due:
        tx.run(sql.EXPIRE, ids=[row[0] for row in due])
        let_go(tx, [row[1] for row in due])
    return len(due) + tx.run(sql.FORGET, before=tx.now - SHOWN, limit=_AT_ONCE)


async def _expire(tools: Tools) -> int:
    total = 0
    for _ in range(_ROUNDS):
        done = await tools.db.write(expire)
        total += done
        if not done:
            break
    return total


async def collect(tools: Tools) -> int:
    """Bury what uploads have left behind that were killed."""
    return await objects.collect(tools, PREFIX, known)


CHORES = [Chore("files that have expired", 60.0, _expire), Chore("what killed uploads left", 600.0, collect)]
