"""From the outputs folder of a session to files that its users can fetch.

Promises: what is under the folder when a session comes to rest is published when ``harvest`` returns, or it is said why not; bytes
are durable before their row is; a harvest that is killed and begun again makes nothing twice, and one that was fenced off makes
nothing. A file that changes while it is read is left for the next time.
"""

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from rota.base.errors import Fault
from rota.base.policy import Policy
from rota.resources.files import content
from rota.resources.files import outputs as files
from rota.resources.files.outputs import Output, Published
from rota.resources.sessions import belongings
from rota.resources.sessions.turns import TurnSession
from rota.resources.skills.paths import shown
from rota.runtime.findings import Finding, is_same, look, opened
from rota.store.blob import Blobs, Written
from rota.store.db import Db
from rota.store.tx import Tx

_PIECE = 1 << 20
_AT_ONCE = 32
"""Files that are published in one transaction."""
WRITING = "it was being written to"


async def harvest(
    session: TurnSession, folder: Path, db: Db, blobs: Blobs, policy: Policy, room: int
) -> dict[str, str]:
    """Publish what is new in a session's outputs folder: what could not be, and why, by path. Fault.

    ``room`` is how many bytes a session may have published.
    """
    found = await asyncio.to_thread(look, folder)
    known = await db.read(files.published, session.id)
    troubles = dict(found.troubles)
    present = frozenset(each.path for each in found.files)
    fresh = [each for each in found.files if each.path not in known or known[each.path].mark != each.mark]
    fresh = _that_fit(fresh, known, present, room, troubles)
    for start in range(0, len(fresh), _AT_ONCE):
        outputs: list[Output] = []
        for each in fresh[start : start + _AT_ONCE]:
            output = await _read(folder, each, known.get(each.path), blobs)
            if output is None:
                troubles[shown(each.path)] = WRITING
            else:
                outputs.append(output)
        if outputs:
            refused = await _publish(session, outputs, db, blobs, policy, present, room)
            if refused is None:
                break
            troubles |= {shown(path): why for path, why in refused.items()}
    return troubles


def _that_fit(
    fresh: Sequence[Finding],
    known: Mapping[str, Published],
    present: Collection[str],
    room: int,
    troubles: dict[str, str],
) -> list[Finding]:
    """Those that there is room for, before a lot of bytes are stored for nothing."""
    changed = {each.path for each in fresh}
    taken = sum(each.size for path, each in known.items() if path in present and path not in changed)
    fitting: list[Finding] = []
    for each in fresh:
        if taken + each.size > room:
            troubles[shown(each.path)] = f"the outputs of a session may have {room >> 20} MB together"
        else:
            taken += each.size
            fitting.append(each)
    return fitting


async def _read(folder: Path, finding: Finding, before: Published | None, blobs: Blobs) -> Output | None:
    """The output with its bytes stored, unless they are what they were; None if it changes under our hands."""
    with opened(folder, finding) as file:
        if file is None:
            return None
        if before is not None and before.size == finding.size:
            digest = await asyncio.to_thread(_digest, file, finding.size)
            if digest == before.digest:
                same = is_same(file, finding)
                return Output(finding.path, finding.mark, Written("", finding.size, digest, 0)) if same else None
            os.lseek(file, 0, os.SEEK_SET)
        async with blobs.write(content.PREFIX) as writer:
            left = finding.size
            while left and (piece := await asyncio.to_thread(os.read, file, min(left, _PIECE))):
                left -= len(piece)
                await writer.write(piece)
            if left or not is_same(file, finding):
                return None
            return Output(finding.path, finding.mark, await writer.finish())


def _digest(file: int, size: int) -> str:
    found = sha256()
    while size and (piece := os.read(file, min(size, _PIECE))):
        size -= len(piece)
        found.update(piece)
    return found.hexdigest()


async def _publish(
    session: TurnSession, outputs: Sequence[Output], db: Db, blobs: Blobs, policy: Policy, present: Collection[str], room: int
) -> Mapping[str, str] | None:  # fmt: skip
    """Write the rows: what was refused, and why; None if the session is somebody else's, or gone. Fault."""
    refused = await db.write(_write, session, outputs, policy, present, room)
    stored = [each.written.location for each in outputs if each.written.location]
    kept = await db.read(content.known, stored)
    for location in stored:
        if location not in kept:
            with suppress(Fault):  # then it is collected later
                await blobs.remove(location)
    return refused


def _write(
    tx: Tx, session: TurnSession, outputs: Sequence[Output], policy: Policy, present: Collection[str], room: int
) -> Mapping[str, str] | None:
    if not belongings.is_ours(tx, session):
        return None
    return files.publish(tx, session.who, session.id, outputs, policy, present=present, room=room)
