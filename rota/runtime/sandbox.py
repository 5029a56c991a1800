"""A place where commands of a model run and can harm nothing. The contract; implementations are in ``sandboxes/``.

A driver opens boxes. A box is the life of a set of processes over folders that outlive it: closing a box ends the processes
and leaves the folders, and the next box over the same folders finds the files and a new shell. Paths that are mounted are
folders of this machine; what they hold is the workshop's business.
Inside, a box has no network but what ``Network`` lets through, no secret of the server, and nothing of another session.
"""

from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct

from rota.runtime.tool import Outcome


class Mount(Struct, frozen=True):
    """A folder or file of this machine at ``inside``, an absolute path. What is writable belongs to the box's user from then on; what is
    not has to be readable to everybody (folders 0755, files 0644), which may be said of the folders above it or not.
    """

    outside: Path
    inside: str
    writable: bool = False


class Network(Struct, frozen=True, kw_only=True):
    """Where a box may connect, through the driver's own proxy. ``unrestricted``: any public host. ``limited``: ``hosts`` only,
    each a name or ``*.name``. Loopback, private, link-local and metadata addresses are refused either way, but for what
    the operator lists in ``ROTA_ALLOW_PRIVATE_HOSTS``. ``none``: nowhere.
    """

    kind: Literal["none", "limited", "unrestricted"] = "none"
    hosts: tuple[str, ...] = ()


class Limits(Struct, frozen=True, kw_only=True):
    """What a box may use at most. ``disk`` is what its writable mounts may hold together; memory and disk in bytes. A box that holds
    more on disk is ended: the call under way has an error as its result, the next one is a SandboxFailure.
    """

    memory: int = 1 << 30
    disk: int = 2 << 30
    processes: int = 256


class Spec(Struct, frozen=True, kw_only=True):
    """A box to be opened. ``name`` tells boxes apart in logs (the session's id). The first writable mount is the home of the
    file tools and the folder in which a shell begins, unless ``workdir`` says otherwise.
    """

    name: str
    mounts: tuple[Mount, ...]
    network: Network = Network()
    limits: Limits = Limits()
    environment: dict[str, str] = {}
    workdir: str = "/workspace"


class SandboxFailure(Exception):
    """A box could not be opened, or has died. The message says what and how to mend it, to the operator."""


class Box(Protocol):
    """An open box."""

    @property
    def ended(self) -> bool:
        """Whether it is not open any more: closed, dead, or stopped for what it used."""
        ...

    async def call(self, tool: str, input: dict[str, Any], *, seconds: float = 150.0) -> Outcome:
        """Run one of ``tool.SANDBOX_TOOLS`` inside, at most so long. SandboxFailure if the box died; another may be opened."""
        ...

    async def run(self, command: list[str], *, seconds: float, network: Network | None = None) -> tuple[int, str]:
        """Run a program inside for the server's own purposes (installing packages): exit code, and the end of its output. With another
        ``network`` than the spec's only before the first ``call``, after which others than the server may use it.
        """
        ...

    async def close(self) -> None:
        """End every process inside."""
        ...


class Sandbox(Protocol):
    """A way of making boxes."""

    name: str

    async def check(self) -> str | None:
        """Try to break out of a box of one's own; None if nothing succeeded, else what did, or what keeps boxes from being
        made at all and how to mend it. Nothing may be opened until this has said None.
        """
        ...

    def describe(self) -> str:
        """What it is and by what it holds, in a line for the operator."""
        ...

    async def open(self, spec: Spec) -> Box:
        """A box over these folders. SandboxFailure."""
        ...

    async def close(self) -> None:
        """End every box that is open."""
        ...
