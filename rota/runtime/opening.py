"""Which workshop the settings ask for, and what runs beside it."""

from collections.abc import Sequence
from typing import NamedTuple

from rota.base import log
from rota.base.policy import Policy
from rota.base.settings import Settings
from rota.queue.chore import Chore
from rota.runtime.nowhere import Nowhere
from rota.runtime.sandbox import SandboxFailure
from rota.runtime.sandboxes.open import open_sandbox
from rota.runtime.sandboxes.tested import Tested
from rota.runtime.tool import Workshop
from rota.runtime.workshop import CloudWorkshop, open_workshop
from rota.store.blob import Blobs
from rota.store.db import Db

_logger = log.get("sandbox")


class Premises(NamedTuple):
    """A workshop, the engines that keep it, in the order in which they start, and the housekeeping that it needs."""

    workshop: Workshop
    engines: Sequence[Tested | CloudWorkshop] = ()
    chores: Sequence[Chore] = ()


def open_premises(settings: Settings, db: Db, blobs: Blobs, policy: Policy) -> Premises:
    """The workshop that the settings describe. A server without a sandbox serves all the same: only tools do not run."""
    try:
        sandbox = open_sandbox(settings)
    except SandboxFailure as exc:
        _logger.error("no sandbox: the tools of cloud sessions will not run", reason=str(exc))
        return Premises(Nowhere("This server has no sandbox; its operator finds out why with `rota doctor`."))
    if sandbox is None:
        return Premises(Nowhere("This server was told to run no tools (--sandbox off)."))
    tested = Tested(sandbox)
    workshop = open_workshop(settings, db, blobs, policy, tested)
    return Premises(workshop, [tested, workshop], workshop.chores)
