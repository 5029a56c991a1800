"""How much of long bodies is in memory at a time, so that many long requests cannot take all that the machine has.

Promises: bodies longer than ``LONG_BODY`` never take more than ``TOTAL`` bytes together; whoever comes while there is no space
waits in line, read no further meanwhile, for ``PATIENCE`` seconds at most, and is then told to come again. Shorter bodies and
forms, which are never held whole, do not ask.
"""

import asyncio
from collections import deque

from rota.base.errors import Crowded

TOTAL = 128 * 1024 * 1024
"""Four of the longest; what is made of a body while it is served takes several times its length."""
PATIENCE = 10.0


class Space:
    """Bytes that are there to be taken and given back, in the order of asking."""

    def __init__(self, total: int = TOTAL) -> None:
        self._left = total
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Take ``size`` bytes, which may not be more than there are in all. Crowded if they are not free in time."""
        if not self._line and size <= self._left:
            self._left -= size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((size, turn))
        try:
            async with asyncio.timeout(PATIENCE):
                await turn
        except BaseException as exc:
            if turn.done() and not turn.cancelled():  # the turn came at the last moment
                self.give(size)
            turn.cancel()
            self._call_next()
            if isinstance(exc, TimeoutError):
                raise Crowded("no space for a long body") from None
            raise

    def give(self, size: int) -> None:
        """Give bytes back."""
        self._left += size
        self._call_next()

    def _call_next(self) -> None:
        while self._line:
            size, turn = self._line[0]
            if not turn.done():
                if size > self._left:
                    return
                self._left -= size
                turn.set_result(None)
            self._line.popleft()
