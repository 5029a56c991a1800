"""Whether a box holds: one is opened over an empty folder, and ``inside.probe`` tries to get out of it."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from rota.runtime.sandbox import Box, Limits, Mount, Network, SandboxFailure, Spec
from rota.runtime.sandboxes.recipe import CODE

LIMITS: Final = Limits(memory=192 << 20, disk=64 << 20, processes=48)
SECONDS: Final = 60.0
HOSTS: Final = ["127.0.0.1", "::1", "169.254.169.254", "10.0.0.1"]
"""This machine, the metadata service of most clouds, somebody's private network."""
MODULE: Final = "rota.runtime.sandboxes.inside.probe"


class Opens(Protocol):
    """Whatever makes boxes."""

    async def open(self, spec: Spec) -> Box:
        """As ``sandbox.Sandbox.open``."""
        ...


async def selftest(sandbox: Opens, python: str, secrets: Sequence[Path]) -> str | None:
    """What a box let through, as a sentence; None if nothing. ``secrets`` are the server's own files and folders."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="rota-check-"))
    reached: list[str] = []

    async def canary(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append("reach a port of this machine")
        writer.close()

    server = await asyncio.start_server(canary, "127.0.0.1", 0)
    try:
        (folder / "workspace").mkdir()
        (folder / "secret").write_text("of another session")
        given: dict[str, Any] = {
            "paths": [str(path) for path in (*secrets, folder / "secret") if path.exists()],
            "hosts": HOSTS,
            "port": server.sockets[0].getsockname()[1],
            "pid": os.getpid(),
            "memory": LIMITS.memory,
            "processes": LIMITS.processes,
        }
        return await _attempt(sandbox, python, folder / "workspace", given, reached)
    except SandboxFailure as exc:
        return str(exc)
    finally:
        server.close()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _attempt(
    sandbox: Opens, python: str, workspace: Path, given: dict[str, Any], reached: list[str]
) -> str | None:
    spec = Spec(
        name="self-test",
        mounts=(Mount(workspace, "/workspace", writable=True),),
        limits=LIMITS,
        network=Network(kind="unrestricted"),
    )
    box = await sandbox.open(spec)
    try:
        code, said = await box.run(
            ["env", f"PYTHONPATH={CODE}", python, "-s", "-S", "-m", MODULE, json.dumps(given)], seconds=SECONDS
        )
        await box.run(["touch", "made"], seconds=SECONDS)
    finally:
        await box.close()
    try:
        succeeded: list[str] = json.loads(said.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return f"The self-test of the sandbox did not come to its end (exit code {code}): {said.strip()[-500:]}"
    succeeded += reached
    made = workspace / "made"
    if made.exists() and made.stat().st_uid == 0:
        succeeded.append("be root outside")
    if not succeeded:
        return None
    return f"The sandbox does not hold, so it is not used: from inside, a program could {', '.join(succeeded)}."
