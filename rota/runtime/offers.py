"""The tools that a model is offered, and what becomes of its calls (contract, sessions §9).

Promises: a tool is offered if and only if it is enabled and this version can run it; the names of the inputs are those that
the official worker reads. A call of anything else is denied, which the model is told, and the turn goes on (§6.5).
The web tools and MCP toolsets are not offered in this version.
"""

from collections.abc import Sequence
from typing import Any, Final

from rota.resources.agents.tools import AgentToolset, CustomTool, Policy, Tool
from rota.runtime import events
from rota.runtime.provider import Block
from rota.runtime.tool import SANDBOX_TOOLS


def _schema(required: Sequence[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


_BUILT_IN: Final[dict[str, Block]] = {
    "bash": {
        "name": "bash",
        "description": "Run a command in a shell. The shell lasts: its folder, variables and background jobs are there at the "
        "next call. The output is what the command printed; a command that fails is an error with its output.",
        "input_schema": _schema(
            (),
            command=_text("The command to run. Needed unless restart is true."),
            restart={"type": "boolean", "description": "Start a new shell in place of the old one."},
            timeout_ms={"type": "integer", "description": "Milliseconds that the command may take."},
        ),
    },
    "read": {
        "name": "read",
        "description": "Read a file: text, an image or a PDF.",
        "input_schema": _schema(
            ("file_path",),
            file_path=_text("Absolute path of the file."),
            view_range={
                "type": "array",
                "items": {"type": "integer"},
                "minItems": 2,
                "maxItems": 2,
                "description": "First and last line to read, counted from 1; a last line of 0 or less reads to the end.",
            },
        ),
    },
    "write": {
        "name": "write",
        "description": "Write a file, in place of what was there. Folders on the way to it are made.",
        "input_schema": _schema(
            ("file_path", "content"), file_path=_text("Absolute path of the file."), content=_text("All of its text.")
        ),
    },
    "edit": {
        "name": "edit",
        "description": "Replace a text in a file. It must occur exactly once, unless replace_all is true.",
        "input_schema": _schema(
            ("file_path", "old_string", "new_string"),
            file_path=_text("Absolute path of the file."),
            old_string=_text("The text to replace, to the letter."),
            new_string=_text("What to put in its place."),
            replace_all={"type": "boolean", "description": "Replace every occurrence."},
        ),
    },
    "glob": {
        "name": "glob",
        "description": "List files whose paths match a pattern, newest first.",
        "input_schema": _schema(
            ("pattern",),
            pattern=_text("The pattern, such as **/*.py."),
            path=_text("The folder to look in. Default: the working folder."),
        ),
    },
    "grep": {
        "name": "grep",
        "description": "Search files for lines that match a regular expression.",
        "input_schema": _schema(
            ("pattern",),
            pattern=_text("The regular expression."),
            path=_text("The file or folder to search. Default: the working folder."),
        ),
    },
}


def offered(tools: Sequence[Tool]) -> list[Block]:
    """The tools as a model is told of them."""
    found: list[Block] = []
    for tool in tools:
        if isinstance(tool, AgentToolset):
            found += [_BUILT_IN[name] for name in SANDBOX_TOOLS if _policy(tool, name) is not None]
        elif isinstance(tool, CustomTool):
            found.append({"name": tool.name, "description": tool.description, "input_schema": tool.input_schema})
    return found


def event_of(tools: Sequence[Tool], block: Block) -> tuple[str, dict[str, Any]]:
    """The event that a model's call becomes: its type and body."""
    name: str = block["name"]
    input_: dict[str, Any] = block["input"] or {}
    for tool in tools:
        if isinstance(tool, CustomTool) and tool.name == name:
            return "agent.custom_tool_use", {"name": name, "input": input_}
    policy = next((_policy(tool, name) for tool in tools if isinstance(tool, AgentToolset)), None)
    if policy is None:
        return "agent.tool_use", events.call(name, input_, "deny", None)
    return "agent.tool_use", events.call(name, input_, *_evaluate(policy))


def _policy(toolset: AgentToolset, name: str) -> Policy | None:
    """The policy of a built-in tool that is offered; None for one that is not."""
    if name not in SANDBOX_TOOLS:
        return None
    config = next((config for config in toolset.configs if config.name == name), toolset.default_config)
    return config.permission_policy if config.enabled else None


def _evaluate(policy: Policy) -> tuple[str, dict[str, Any]]:
    """Whether a call may run. ``auto`` would have it judged; nobody judges in this version, so it asks, which is always safe."""
    if policy.type == "always_allow":
        return "allow", {"type": "always_allow"}
    if policy.type == "always_ask":
        return "ask", {"type": "always_ask"}
    return "ask", {"type": "auto", "evaluated_permission": {"type": "ask", "reason_code": "indeterminate"}}
