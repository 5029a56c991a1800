"""What the engine's events look like, one function for each that has more to it than its name (contract, sessions §4.4)."""

from typing import Any, Literal, TypeAlias

from rota.resources.sessions.calls import Call

Retry: TypeAlias = Literal["retrying", "exhausted", "terminal"]
Body: TypeAlias = dict[str, Any]

WEB_TOOLS = frozenset({"web_search", "web_fetch"})
"""Built-in tools that agents may configure, and that nothing here runs yet."""
INTERRUPTED = "Tool execution was interrupted before completion. Please retry."
RESTARTED = (
    "Tool execution was cut short by a restart of the server. It may have taken effect in part or in full; "
    "look before trying again."
)


def error(kind: str, message: str, retry: Retry, **extras: str) -> Body:
    """``session.error``."""
    return {"error": {"type": kind, "message": message, "retry_status": {"type": retry}, **extras}}


def call(name: str, input: Body, permission: str, evaluation: Body | None) -> Body:
    """``agent.tool_use``. A tool that was never offered has no evaluation."""
    body = {"name": name, "input": input, "evaluated_permission": permission}
    return body if evaluation is None else {**body, "evaluation": evaluation}


def text(said: str) -> list[Body]:
    """Content of one block."""
    return [{"type": "text", "text": said}]


def result(to: Call, content: list[Body], *, is_error: bool) -> tuple[str, Body]:
    """The result of a call that the server ran, or would not: its type and body."""
    kind, name = (
        ("agent.mcp_tool_result", "mcp_tool_use_id") if to.family == "mcp" else ("agent.tool_result", "tool_use_id")
    )
    return kind, {name: to.id, "content": content, "is_error": is_error}


def closed(to: Call, said: str) -> tuple[str, Body]:
    """The error result of a call that is given up. For those that a client runs it is of the client's kind: workers tell by
    it that there is nothing left to run (contract §14.6).
    """
    if to.family == "custom":
        return "user.custom_tool_result", {"custom_tool_use_id": to.id, "content": text(said), "is_error": True}
    if to.client:
        return "user.tool_result", {"tool_use_id": to.id, "content": text(said), "is_error": True}
    return result(to, text(said), is_error=True)


def refused(to: Call) -> tuple[str, Body]:
    """The result of a call that the client, or the server, denied."""
    if to.permission == "deny" and to.name in WEB_TOOLS:
        return result(to, text(f"This version of the server does not run {to.name}."), is_error=True)
    if to.permission == "deny":
        return result(to, text(f"Tool {to.name} is not enabled in this session."), is_error=True)
    said = f"Permission to use {to.name} has been rejected."
    if to.deny_message:
        said += f" Rejection message: {to.deny_message}"
    return result(to, text(said), is_error=True)
