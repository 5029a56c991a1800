"""A box as the server holds it: a tool host that some driver has started, and the watch over what it uses."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from rota.runtime.sandbox import Network, SandboxFailure, Spec
from rota.runtime.sandboxes import ground
from rota.runtime.sandboxes.link import Link
from rota.runtime.tool import SANDBOX_TOOLS, Outcome

GRACE: Final = 5.0
"""How long a tool that was told to stop may take to say so."""
WATCH_SECONDS: Final = 1.0


class HostedBox:
    """Calls go to the tool host; ``end`` is the driver's way to make sure that nothing of the box is left.

    ``admit`` widens the network for a while, and ``outward`` are the variables by which programs find it.
    """

    def __init__(
        self,
        spec: Spec,
        link: Link,
        end: Callable[[], Awaitable[None]],
        *,
        admit: Callable[[Network], contextlib.AbstractAsyncContextManager[None]] | None = None,
        outward: dict[str, str] | None = None,
    ) -> None:
        self._spec = spec
        self._link = link
        self._end = end
        self._admit = admit
        self._outward = outward or {}
        self._used = False
        self._why = ""
        self._told = False
        self._closing: asyncio.Task[None] | None = None
        self._watch = asyncio.create_task(self._watch_disk())

    @property
    def ended(self) -> bool:
        """See ``sandbox.Box``."""
        return self._closing is not None or self._link.ended.is_set()

    async def call(self, tool: str, input: dict[str, Any], *, seconds: float = 150.0) -> Outcome:
        """See ``sandbox.Box``."""
        if tool not in SANDBOX_TOOLS:
            return Outcome([{"type": "text", "text": f"{tool}: there is no such tool in a sandbox"}], is_error=True)
        self._used = True
        try:
            done = await self._link.ask({"op": "call", "tool": tool, "input": input}, seconds, GRACE)
        except SandboxFailure as exc:
            if self._why and not self._told:
                self._told = True
                await self.close()
                return Outcome([{"type": "text", "text": f"{tool}: the sandbox was ended: {self._why}"}], is_error=True)
            raise await self._failure(exc) from None
        if done is None:
            return Outcome([{"type": "text", "text": f"tool {tool!r} timed out"}], is_error=True)
        if not done.content:
            raise await self._failure(SandboxFailure("the tool host gave no result"))
        return Outcome(done.content, done.error)

    async def run(self, command: Sequence[str], *, seconds: float, network: Network | None = None) -> tuple[int, str]:
        """See ``sandbox.Box``."""
        if network is not None and self._used:
            raise SandboxFailure("a box lets programs of the server reach further only before it has run a tool")
        way = contextlib.nullcontext() if network is None or self._admit is None else self._admit(network)
        try:
            async with way:
                frame: dict[str, Any] = {
                    "op": "run",
                    "command": list(command),
                    "environment": {} if network is None else self._outward,
                }
                done = await self._link.ask(frame, seconds, GRACE)
        except SandboxFailure as exc:
            raise await self._failure(exc) from None
        if done is None:
            return 124, f"stopped after {seconds:g} seconds"
        return (1 if done.code is None else done.code), done.output

    async def close(self) -> None:
        """See ``sandbox.Box``."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._watch is not asyncio.current_task():
            self._watch.cancel()
        self._link.close()
        await self._end()

    async def _failure(self, exc: SandboxFailure) -> SandboxFailure:
        await self.close()
        return SandboxFailure(f"The sandbox of {self._spec.name} has ended: {self._why or exc}.")

    async def _watch_disk(self) -> None:
        """End the box when its folders hold more than they may. A folder that takes long to add up is looked at less often."""
        loop = asyncio.get_running_loop()
        most = 0
        while not self._link.ended.is_set():
            begun = loop.time()
            held = await asyncio.to_thread(ground.size, self._spec.mounts)
            # Folders that held too much when the box was opened may be tidied up in it.
            most = most or max(self._spec.limits.disk, held)
            if held > most:
                self._why = (
                    f"its folders hold {held / (1 << 20):.0f} MB, of {self._spec.limits.disk / (1 << 20):.0f} that a session may keep "
                    "(ROTA_SANDBOX_DISK_MB)"
                )
                # Not awaited: the closing ends this very task.
                self._closing = self._closing or asyncio.create_task(self._close())
                return
            pause = max(WATCH_SECONDS, 20 * (loop.time() - begun))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._link.ended.wait()
