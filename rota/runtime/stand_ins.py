"""A model and a workshop that do next to nothing, for a server that has no better ones."""

from collections.abc import AsyncGenerator
from typing import Any

from rota.resources.sessions.turns import TurnSession
from rota.runtime.provider import ModelRequest, ModelUsage, Piece, Reply
from rota.runtime.tool import Outcome


class PlainProvider:
    """Answers everything with one sentence."""

    name = "plain"

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece]:
        """The sentence."""
        said = f"plain: no model is configured, and {request.model} was not asked."
        yield Reply(content=[{"type": "text", "text": said}], stop_reason="end_turn", usage=ModelUsage())

    async def close(self) -> None:
        """Nothing."""


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
