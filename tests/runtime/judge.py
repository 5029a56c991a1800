"""Whether a log is one that the contract allows: an independent reading of sessions §6, which shares no code with the loop.

It walks the log once and keeps no more than a client would: what runs, which request is open, which calls have which answers.
"""

from collections.abc import Sequence
from typing import Any

from rota.resources.sessions.turns import LogEvent

USES = {"agent.tool_use": "built_in", "agent.custom_tool_use": "custom"}
RESULTS = {"agent.tool_result", "user.tool_result", "user.custom_tool_result"}
MESSAGES = {"user.message", "user.define_outcome", "system.message"}
REPLY = {"agent.thinking", "agent.message", *USES}


class Illegal(AssertionError):
    """The log breaks a rule."""


def judge(log: Sequence[LogEvent], *, self_hosted: bool = False) -> None:
    """Illegal, with the rule and the place, if it is not."""
    court = _Court(self_hosted)
    waiting = False
    for event in log:
        if event.processed_at is None:
            waiting = True
            continue
        if waiting:
            raise Illegal(f"{event.type} stands behind what waits")
        try:
            court.hear(event)
        except Illegal as exc:
            raise Illegal(f"{exc}, at {event.type} {event.id}: {[each.type for each in log]}") from None


def rule(holds: object, said: str) -> None:
    if not holds:
        raise Illegal(said)


class _Court:
    def __init__(self, self_hosted: bool) -> None:
        self.self_hosted = self_hosted
        self.at = 0
        self.session = "idle"
        self.thread = "idle"
        self.expected: list[str] = []
        self.span: str | None = None
        self.phase = ""
        self.calls: dict[str, dict[str, Any]] = {}
        self.reason: dict[str, Any] = {}
        self.seen: set[str] = set()
        self.last = ""

    def hear(self, event: LogEvent) -> None:
        kind, body = event.type, event.body
        assert event.processed_at is not None
        rule(event.processed_at > self.at, "two events share an instant, or go back in time")
        rule(event.id not in self.seen, "an event is there twice")
        self.seen.add(event.id)
        self.at = event.processed_at
        if self.expected and kind != "session.error":
            rule(kind == self.expected.pop(0), f"{self.last} must be followed by its pair")
        rule(self.session != "terminated", "nothing follows the end")
        if self.span is not None:
            rule(
                kind in REPLY or kind == "span.model_request_end" or kind in ("session.updated", *ANSWERS),
                "a request is open",
            )
        handler = getattr(self, "_" + kind.replace(".", "_"), None)
        if handler is not None:
            handler(event, body)
        elif kind in RESULTS:
            self._result(kind, body)
        self.last = kind

    # Statuses: pairs, and what goes between them

    def _session_status_running(self, event: LogEvent, body: Any) -> None:
        rule(self.session in ("idle", "rescheduling"), "it runs already")
        self.session, self.expected = "running", ["session.thread_status_running"]

    def _session_thread_status_running(self, event: LogEvent, body: Any) -> None:
        rule(self.last in ("session.status_running", "session.error"), "the session runs before its thread")
        self.thread = "running"

    def _session_thread_status_idle(self, event: LogEvent, body: Any) -> None:
        self.thread, self.reason = "idle", body["stop_reason"]
        self.expected = ["session.usage", "session.status_idle"]
        if self.reason["type"] == "requires_action":
            wanted = [name for name, call in self.calls.items() if self._wants(call)]
            rule(self.reason["event_ids"], "an action is required, and nothing named")
            rule(set(self.reason["event_ids"]) <= set(wanted), "a call is named that wants nothing")
            rule(
                self.reason["event_ids"] == [name for name in wanted if name in self.reason["event_ids"]],
                "in another order",
            )
        else:
            rule(all(call["settled"] for call in self.calls.values()), "it stops with calls open")
            self.calls = {} if self.reason["type"] != "budget_reached" else self.calls

    def _session_status_idle(self, event: LogEvent, body: Any) -> None:
        self.session = "idle"
        own = body["stop_reason"]
        rule(own == self.reason or own["type"] == "budget_reached", "session and thread stop for different reasons")

    def _session_usage(self, event: LogEvent, body: Any) -> None:
        rule(self.last == "session.thread_status_idle", "usage comes between thread and session")

    def _session_thread_status_rescheduled(self, event: LogEvent, body: Any) -> None:
        rule(self.last == "session.error", "a retry is told with its error")
        self.thread, self.expected = "rescheduling", ["session.status_rescheduled"]

    def _session_status_rescheduled(self, event: LogEvent, body: Any) -> None:
        self.session = "rescheduling"

    def _session_status_terminated(self, event: LogEvent, body: Any) -> None:
        self.session = "terminated"

    # Requests

    def _span_model_request_start(self, event: LogEvent, body: Any) -> None:
        rule(self.session == self.thread == "running", "a request while it does not run")
        rule(all(call["settled"] for call in self.calls.values()), "a request with calls open")
        self.span, self.phase, self.calls = event.id, "", {}

    def _span_model_request_end(self, event: LogEvent, body: Any) -> None:
        rule(self.span is not None and body["model_request_start_id"] == self.span, "the end of no request")
        self.span = None

    def _phase(self, phase: str) -> None:
        order = ["", "agent.thinking", "agent.message", "use"]
        rule(self.span is not None, "said outside of a request")
        rule(
            order.index(phase) > order.index(self.phase) or phase == self.phase == "use",
            "thought, text, calls: in this order",
        )
        self.phase = phase

    def _agent_thinking(self, event: LogEvent, body: Any) -> None:
        self._phase("agent.thinking")

    def _agent_message(self, event: LogEvent, body: Any) -> None:
        self._phase("agent.message")
        rule(body["content"] and all(block["text"] for block in body["content"]), "an empty message")

    # Calls

    def _agent_tool_use(self, event: LogEvent, body: Any) -> None:
        self._phase("use")
        rule(("evaluation" in body) == (body["evaluated_permission"] != "deny"), "a tool that is off was evaluated")
        client = self.self_hosted
        self.calls[event.id] = {
            "client": client,
            "permission": body["evaluated_permission"],
            "verdict": None,
            "settled": False,
        }

    def _agent_custom_tool_use(self, event: LogEvent, body: Any) -> None:
        self._phase("use")
        rule("evaluated_permission" not in body, "a custom tool has no permission")
        self.calls[event.id] = {
            "client": True,
            "permission": "allow",
            "verdict": None,
            "settled": False,
            "custom": True,
        }

    def _wants(self, call: dict[str, Any]) -> bool:
        if call["settled"] or "deny" in (call["permission"], call["verdict"]):
            return False
        return (call["permission"] == "ask" and call["verdict"] is None) or call["client"]

    def _user_tool_confirmation(self, event: LogEvent, body: Any) -> None:
        call = self.calls.get(body["tool_use_id"])
        rule(call is not None and call["permission"] == "ask" and call["verdict"] is None, "nobody asked")
        assert call is not None
        call["verdict"] = body["result"]

    def _result(self, kind: str, body: Any) -> None:
        call = self.calls.get(body.get("tool_use_id") or body.get("custom_tool_use_id"))
        rule(call is not None, "a result of no open call")
        assert call is not None
        rule(not call["settled"], "a call has two results")
        denied = "deny" in (call["permission"], call["verdict"])
        if kind == "user.custom_tool_result":
            rule(call.get("custom"), "not a custom tool's")
        elif kind == "user.tool_result":
            rule(self.self_hosted and not call.get("custom"), "no worker runs that")
        else:
            rule(not call.get("custom") and (denied or not self.self_hosted), "the server does not run that")
        if not body.get("is_error"):
            rule(not denied, "a denied call was run")
            rule(call["permission"] != "ask" or call["verdict"] == "allow", "it ran without being allowed")
        call["settled"] = True

    # What the user says

    def _user_message(self, event: LogEvent, body: Any) -> None:
        rule(self.session == self.thread == "running", "a message is taken up by a session that runs")
        rule(all(call["settled"] for call in self.calls.values()), "a message before the results")

    _user_define_outcome = _user_message

    def _user_interrupt(self, event: LogEvent, body: Any) -> None:
        rule(
            self.session != "running" or all(call["settled"] for call in self.calls.values()),
            "an interrupt leaves calls open",
        )


ANSWERS = ("user.tool_confirmation", "user.tool_result", "user.custom_tool_result")
