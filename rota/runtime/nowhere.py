"""A workshop without tools, for a server that has no sandbox: calls are answered with the reason, so that a model can go on."""

from typing import Any

from rota.resources.sessions.turns import TurnSession
from rota.runtime.tool import Outcome


class Nowhere:
    """See ``tool.Workshop``; its own toolbox, too. ``reason`` is a sentence for the model, and for whoever reads along."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def open(self, session: TurnSession) -> "Nowhere":  # noqa: ARG002 - none is like another
        """Itself."""
        return self

    async def call(self, name: str, input: dict[str, Any]) -> Outcome:  # noqa: ARG002 - none is run
        """An error with the reason."""
        return Outcome([{"type": "text", "text": f"{name} was not run. {self._reason}"}], is_error=True)

    async def close(self) -> None:
        """Nothing."""

    def instructions(self, session: TurnSession) -> str:
        """That there are no tools, to spare the model the attempt."""
        return "" if session.self_hosted else f"Your tools cannot be run at the moment. {self._reason}"

    async def settle(self, session: TurnSession) -> None:
        """Nothing."""
