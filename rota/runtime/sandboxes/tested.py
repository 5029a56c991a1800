"""A sandbox that is opened only after it has withstood its own self-test, which runs once, while the server starts."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Never

from rota.base import log
from rota.runtime.sandbox import Box, Sandbox, SandboxFailure, Spec

_logger = log.get("sandbox")


class Tested:
    """See ``sandbox.Sandbox``; also an engine (``main.Engine``). Whoever opens a box waits for the test to end."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.name = sandbox.name
        self._sandbox = sandbox
        self._test: asyncio.Task[str | None] | None = None

    def start(self) -> None:
        """Begin the test."""
        self._begun()

    def describe(self) -> str:
        """See ``sandbox.Sandbox``."""
        return self._sandbox.describe()

    async def check(self) -> str | None:
        """See ``sandbox.Sandbox``; the outcome of the one test."""
        return await asyncio.shield(self._begun())

    async def open(self, spec: Spec) -> Box:
        """See ``sandbox.Sandbox``. SandboxFailure with what is wrong, if the test found anything."""
        if (problem := await self.check()) is not None:
            raise SandboxFailure(problem)
        return await self._sandbox.open(spec)

    async def close(self) -> None:
        """See ``sandbox.Sandbox``."""
        if self._test is not None:
            self._test.cancel()
            with suppress(asyncio.CancelledError):
                await self._test
        await self._sandbox.close()

    async def stop(self) -> None:
        """See ``main.Engine``."""
        await self.close()

    def counts(self) -> Iterator[Never]:
        """Nothing is counted; see ``main.Engine``."""
        yield from ()

    def _begun(self) -> "asyncio.Task[str | None]":
        if self._test is None:
            self._test = asyncio.create_task(self._run(), name="sandbox: self-test")
        return self._test

    async def _run(self) -> str | None:
        try:
            problem = await self._sandbox.check()
        except SandboxFailure as exc:
            problem = str(exc)
        except Exception as exc:  # a test that could not be made proves nothing
            _logger.error("the sandbox could not be tested", exc_info=exc)
            problem = "The sandbox could not be tested; the server's log has the reason."
        if problem is not None:
            _logger.error("no sandbox: the tools of cloud sessions will not run", reason=problem)
        return problem
