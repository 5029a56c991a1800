"""Running the built-in tools of a session. The contract between the turn and where its tools run.

The turn decides whether and when a tool runs, and writes down that it was started before it is; whoever implements this
runs it once and says what came of it.
"""

from typing import Any, Protocol

from msgspec import Struct

from rota.resources.sessions.turns import TurnSession

SANDBOX_TOOLS = ("bash", "read", "write", "edit", "glob", "grep")
"""The built-in tools that run in a session's sandbox, or on a worker of a self-hosted environment."""
REPEATABLE = frozenset({"read", "glob", "grep"})
"""Those that change nothing, and so may be run again when it is not known whether they were."""


class Outcome(Struct, frozen=True):
    """What came of a call: blocks as ``agent.tool_result`` shows them, never none and never an empty text."""

    content: list[dict[str, Any]]
    is_error: bool = False


class Toolbox(Protocol):
    """The tools of one session, ready for use."""

    async def call(self, name: str, input: dict[str, Any]) -> Outcome:
        """Run one tool. Whatever goes wrong is an ``Outcome`` with ``is_error`` and a sentence that the model can act on.

        Cancelling the call stops the tool.
        """
        ...

    async def close(self) -> None:
        """Stop what runs; files stay, for the next time."""
        ...


class Workshop(Protocol):
    """Where toolboxes come from."""

    async def open(self, session: TurnSession) -> Toolbox:
        """The toolbox of a cloud session, its files, skills and earlier work in place. Called when a turn first needs one."""
        ...

    def instructions(self, session: TurnSession) -> str:
        """What the model should know about the place where its tools run: folders, uploads, skills, outputs."""
        ...

    async def settle(self, session: TurnSession) -> None:
        """The session comes to rest: what it left under ``/mnt/session/outputs`` becomes files. Called before the idle event."""
        ...
