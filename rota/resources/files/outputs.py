"""What sessions leave behind: each file under ``/mnt/session/outputs`` is published as a file of its session.

Promises: an output is one file, named for its path; written again with other bytes, a file with a new id takes the place of the
old one, in one transaction. An output that is deleted in the sandbox stays published: it is the result of somebody's work, and
whoever was told of it can still fetch it; only where there is no room for new ones do such leftovers go, the oldest first.
An output whose file a user has deleted is not published again until its bytes change.
Does not look at any disk: what is there is found out by ``runtime.outputs``, which writes the bytes before it comes here.
"""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from rota.base import ids
from rota.base.errors import InvalidRequest
from rota.base.policy import Policy
from rota.base.who import Who
from rota.resources.files import content, sql
from rota.resources.files.wire import type_of
from rota.store.blob import Written
from rota.store.tx import Tx

MAX_OUTPUTS = 1000
"""Files that a session may have published."""


class Output(Struct, frozen=True):
    """A file under the outputs folder whose bytes are durable; ``mark`` says what it looked like when they were read."""

    path: str
    mark: str
    written: Written


class Published(Struct, frozen=True):
    """An output as it was published; ``published_at`` in microseconds UTC."""

    path: str
    file_id: str
    published_at: int
    size: int
    digest: str
    mark: str


def published(tx: Tx, session_id: str) -> dict[str, Published]:
    """What has been published of a session's outputs, by path, the oldest first."""
    return {row[0]: Published(*row) for row in tx.all(sql.OUTPUTS, session_id=session_id)}


def publish(
    tx: Tx, who: Who, session_id: str, outputs: Sequence[Output], policy: Policy, *, present: Collection[str], room: int
) -> Mapping[str, str]:
    """Publish outputs; why some could not be, by path. Unavailable (``queue.objects``).

    ``present`` are the paths of all outputs that are there now; ``room`` is how many bytes a session may have published.
    """
    known = published(tx, session_id)
    seen_again = [(each.mark, session_id, each.path) for each in outputs if _same(known.get(each.path), each)]
    if seen_again:
        tx.update(sql.MARK_OUTPUTS, seen_again)
    refused: dict[str, str] = {}
    for each in outputs:
        if not _same(known.get(each.path), each):
            reason = _put(tx, who, session_id, each, policy, known, present, room)
            if reason is not None:
                refused[each.path] = reason
    return refused


def _same(old: Published | None, new: Output) -> bool:
    return old is not None and old.digest == new.written.digest and old.size == new.written.size


def _put(
    tx: Tx, who: Who, session_id: str, output: Output, policy: Policy, known: dict[str, Published],
    present: Collection[str], room: int,
) -> str | None:  # fmt: skip
    """Publish one output, or the reason why not. ``known`` is kept up to date."""
    others = [each for each in known.values() if each.path != output.path]
    space = room - sum(each.size for each in others) - output.written.size
    slots = MAX_OUTPUTS - len(others) - 1
    leaving: list[Published] = []
    for each in others:
        if space >= 0 and slots >= 0:
            break
        if each.path not in present:
            leaving.append(each)
            space, slots = space + each.size, slots + 1
    if space < 0:
        return f"the outputs of a session may have {room >> 20} MB together"
    if slots < 0:
        return f"a session may have {MAX_OUTPUTS} outputs"
    _drop(tx, session_id, leaving, known)
    replaced = known.get(output.path)
    try:
        blob = content.keep(tx, who.workspace_id, output.written, policy)
    except InvalidRequest as exc:  # what is there already stays: an old result is better than none
        return exc.message[0].lower() + exc.message[1:].rstrip(".")
    body = sql.Body(
        filename=output.path, mime_type=type_of("", output.path), size_bytes=output.written.size, downloadable=True
    )
    file_id = ids.new(ids.FILE)
    tx.insert(sql.INSERT, [(file_id, who.workspace_id, tx.now, None, session_id, blob, sql.to_text(body))])
    if replaced is not None:
        content.let_go(tx, [row[0] for row in tx.all(sql.DELETE_MANY, ids=[replaced.file_id], scope_id=session_id)])
    new = Published(output.path, file_id, tx.now, output.written.size, output.written.digest, output.mark)
    known[output.path] = new
    tx.insert(sql.KEEP_OUTPUTS, [(session_id, new.path, new.file_id, new.published_at, new.size, new.digest, new.mark)])
    return None


def _drop(tx: Tx, session_id: str, leaving: Sequence[Published], known: dict[str, Published]) -> None:
    """Let leftovers go."""
    if not leaving:
        return
    gone = tx.all(sql.DELETE_MANY, ids=[each.file_id for each in leaving], scope_id=session_id)
    content.let_go(tx, [row[0] for row in gone])
    tx.run(sql.FORGET_OUTPUTS, session_id=session_id, paths=[each.path for each in leaving])
    for each in leaving:
        del known[each.path]
