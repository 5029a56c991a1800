"""The tool calls of a model's last reply, and what each still waits for (contract, sessions §6.2 to §6.4).

The one place that knows the rules, for those who take answers in (``log``) and for those who act on them (the turn engine).
Pure. Promises: an answer is never in order before what it has to follow; if clients answer whatever is wanted, every answer
comes to be in order sooner or later.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

Family: TypeAlias = Literal["built_in", "mcp", "custom"]
Want: TypeAlias = Literal["confirmation", "result"]
Calls: TypeAlias = tuple["Call", ...]

_FAMILIES: dict[str, Family] = {
    "agent.tool_use": "built_in",
    "agent.mcp_tool_use": "mcp",
    "agent.custom_tool_use": "custom",
}
USES = frozenset(_FAMILIES)
RESULTS = frozenset({"agent.tool_result", "agent.mcp_tool_result", "user.tool_result", "user.custom_tool_result"})
ANSWERS = frozenset({"user.tool_confirmation", "user.tool_result", "user.custom_tool_result"})
"""What clients send about calls."""


class Call(Struct, frozen=True, kw_only=True):
    """One call. ``client`` tells that a client runs it: a custom tool, or a built-in one of a self-hosted environment.

    ``permission`` is what the event says; ``verdict`` the client's confirmation; ``started`` that the server has begun to
    run it; ``settled`` that its result is in the log.
    """

    id: str
    family: Family
    name: str
    input: dict[str, Any]
    client: bool
    permission: str | None = None
    verdict: str | None = None
    deny_message: str | None = None
    started: bool = False
    settled: bool = False

    @property
    def denied(self) -> bool:
        """Whether it will not run, by the server's or by the client's word."""
        return self.permission == "deny" or self.verdict == "deny"

    @property
    def wants(self) -> Want | None:
        """What a client has yet to give; None if it is settled, or the server's to go on with."""
        if self.settled or self.denied:
            return None
        if self.permission == "ask" and self.verdict is None:
            return "confirmation"
        return "result" if self.client else None


def call(event_id: str, kind: str, body: Mapping[str, Any], *, self_hosted: bool, started: bool = False) -> Call:
    """The call that an ``agent.…tool_use`` event makes."""
    family = _FAMILIES[kind]
    return Call(
        id=event_id,
        family=family,
        name=body["name"],
        input=body["input"],
        client=family == "custom" or (family == "built_in" and self_hosted),
        permission=body.get("evaluated_permission"),
        started=started,
    )


def target(body: Mapping[str, Any]) -> str | None:
    """The call that an answer or a result is about."""
    return body.get("tool_use_id") or body.get("custom_tool_use_id") or body.get("mcp_tool_use_id")


def answered(calls: Calls, kind: str, body: Mapping[str, Any]) -> Calls:
    """The calls after an answer or a result has been taken up."""
    name = target(body)
    if kind == "user.tool_confirmation":
        verdict = {"verdict": body["result"], "deny_message": body.get("deny_message")}
        return tuple(replace(each, **verdict) if each.id == name else each for each in calls)
    return tuple(replace(each, settled=True) if each.id == name else each for each in calls)


def in_order(calls: Calls, kind: str, body: Mapping[str, Any]) -> bool:
    """Whether an answer may be taken up now. A result follows those of all earlier calls, but for what will never run;
    a confirmation follows earlier confirmations only, or two answers could wait for each other.
    """
    name = target(body)
    for each in calls:
        if each.id == name:
            return True
        if kind == "user.tool_confirmation":
            if each.wants == "confirmation":
                return False
        elif not each.settled and not each.denied:
            return False
    return True


def wanted(calls: Calls) -> Calls:
    """The calls that a client has yet to answer."""
    return tuple(each for each in calls if each.wants is not None)


def gated(calls: Calls) -> bool:
    """Whether a call still asks. Until none does, nothing runs but what was confirmed itself (contract §6.2)."""
    return any(each.wants == "confirmation" for each in calls)


def runnable(calls: Calls) -> Sequence[Call]:
    """The calls that the server may run now, in the model's order."""
    shut = gated(calls)
    return [
        each
        for each in calls
        if not (each.settled or each.denied or each.client) and (each.verdict == "allow" or not (shut or each.wants))
    ]
