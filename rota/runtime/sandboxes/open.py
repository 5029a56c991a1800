"""Which sandbox the settings ask for."""

from pathlib import Path

import structlog

from rota.base.settings import Settings
from rota.outgoing import guard
from rota.runtime.sandbox import Sandbox
from rota.runtime.sandboxes import ground
from rota.runtime.sandboxes.bubblewrap import Bubblewrap
from rota.runtime.sandboxes.unsafe_local import UnsafeLocal

log = structlog.get_logger()


def open_sandbox(settings: Settings) -> Sandbox | None:
    """The sandbox, which is not to be used before its ``check`` was asked; None if it is off. SandboxFailure, saying what is missing."""
    match settings.sandbox:
        case "off":
            return None
        case "unsafe-local":
            log.warning("sandbox.unsafe", sentence=UnsafeLocal.WARNING)
            return UnsafeLocal()
        case "bubblewrap":
            return Bubblewrap(
                users=ground.uids(settings.sandbox_uids),
                secrets=(Path(settings.data_dir).expanduser().absolute(), settings.seal_key_path.absolute()),
                allowed=guard.allowed(settings.allow_private_hosts),
            )
