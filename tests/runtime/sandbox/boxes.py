"""Boxes for tests, and whether this machine can have any."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from rota.outgoing import guard
from rota.outgoing.resolve import Resolve, system_resolve
from rota.runtime.sandbox import Limits, Mount, Network, Sandbox, SandboxFailure, Spec
from rota.runtime.sandboxes import ground
from rota.runtime.sandboxes.box import HostedBox
from rota.runtime.sandboxes.bubblewrap import Bubblewrap

NO_NETWORK, USUAL = Network(), Limits()


@cache
def why_none() -> str | None:
    """Why there can be no boxes here; None if there can."""

    async def look() -> str | None:
        try:
            async with opened(Path(tempfile.mkdtemp())):
                return None
        except SandboxFailure as exc:
            return str(exc)

    return asyncio.run(look())


def folders(place: Path) -> tuple[Mount, ...]:
    """A session's folders, as a workshop makes them."""
    for name in ("workspace", "outputs", "uploads"):
        (place / name).mkdir(exist_ok=True)
    (place / "uploads" / "given.txt").write_text("given\n")
    return (
        Mount(place / "workspace", "/workspace", writable=True),
        Mount(place / "outputs", "/mnt/session/outputs", writable=True),
        Mount(place / "uploads", "/mnt/session/uploads"),
    )


def driver(*, allow: str = "", resolve: Resolve = system_resolve, without: frozenset[str] = frozenset()) -> Bubblewrap:
    return Bubblewrap(users=ground.uids(None), allowed=guard.allowed(allow), resolve=resolve, without=without)


@asynccontextmanager
async def opened(
    place: Path,
    *,
    sandbox: Sandbox | None = None,
    network: Network = NO_NETWORK,
    limits: Limits = USUAL,
    environment: dict[str, str] | None = None,
    name: str = "sesn_test",
) -> AsyncGenerator[HostedBox]:
    """An open box over folders in ``place``."""
    own = sandbox or driver()
    spec = Spec(name=name, mounts=folders(place), network=network, limits=limits, environment=environment or {})
    box: Any = await own.open(spec)
    try:
        yield box
    finally:
        await box.close()
        if sandbox is None:
            await own.close()


async def bash(box: Any, command: str, **more: Any) -> str:
    """What a command prints, whether it fails or not."""
    done = await box.call("bash", {"command": command, **more})
    return done.content[0]["text"]
