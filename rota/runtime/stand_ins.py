"""A workshop without tools, for a server that has no better one."""

from typing import Any

from rota.resources.sessions.turns import TurnSession
from rota.runtime.tool import Outcome


class EmptyWorkshop:
    """Has no tools."""

    async def open(self, session: TurnSession) -> "EmptyWorkshop":  # noqa: ARG002 - none is like another
        """Itself."""
        return self

    async def call(self, name: str, input: dict[str, Any]) -> Outcome:  # noqa: ARG002 - none is run
        """An error."""
        return Outcome([{"type": "text", "text": f"{name}: this server has no sandbox."}], is_error=True)

    async def close(self) -> None:
        """Nothing."""

    def instructions(self, session: TurnSession) -> str:  # noqa: ARG002 - none is like another
        """Nothing."""
        return ""

    async def settle(self, session: TurnSession) -> None:
        """Nothing."""
