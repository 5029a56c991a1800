"""A session on paper: the loop and the receipt of events, with a list where the store would be."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from rota.resources.agents.tools import AgentToolset, CustomTool, DefaultConfig, Policy, Tool, ToolConfig
from rota.resources.sessions import sql
from rota.resources.sessions.events import InboundEvent
from rota.resources.sessions.receipt import End, Receipt
from rota.resources.sessions.rows import Stored
from rota.resources.sessions.turns import LogEvent
from rota.resources.sessions.wire import OutcomeEvaluation
from rota.runtime.came import Came, Cut, Failed, Finished, Replied
from rota.runtime.log import State, fold
from rota.runtime.loop import Ask, Rest, Run, Step, Then, step
from rota.runtime.provider import ProviderFailure, Reply
from rota.runtime.terms import Terms
from rota.runtime.tool import Outcome
from tests.runtime.stage import short

ALLOW, ASK, AUTO = (Policy(type=kind) for kind in ("always_allow", "always_ask", "auto"))
CUSTOM = [CustomTool(name, "Asks.", {"type": "object"}) for name in ("ask_user", "ask_other")]
TOOLS: list[Tool] = [
    AgentToolset(
        DefaultConfig(True, ALLOW),
        [
            ToolConfig(name="write", type="write", enabled=True, permission_policy=ASK),
            ToolConfig(name="edit", type="edit", enabled=True, permission_policy=AUTO),
            ToolConfig(name="grep", type="grep", enabled=False, permission_policy=ALLOW),
        ],
    ),
    *CUSTOM,
]
SECOND = 1_000_000
NOON = 1_772_452_800_000_000


class Paper:
    """One session. ``now`` is turned by hand."""

    def __init__(self, *, self_hosted: bool = False, **terms: Any) -> None:
        self.now = NOON
        self.self_hosted = self_hosted
        self.terms = Terms(thread_id="sthr_1", agent_name="Clerk", self_hosted=self_hosted, **{"tools": TOOLS, **terms})
        self.events: dict[str, LogEvent] = {}
        self.status = "idle"
        self.wants_turn_at: int | None = None
        self.then: Then = Rest()
        self.flight: list[str] = []
        self.ran: list[str] = []

    @property
    def log(self) -> list[LogEvent]:
        return sorted(self.events.values(), key=lambda event: event.position)

    @property
    def state(self) -> State:
        return fold(State(self_hosted=self.self_hosted), self.log)

    # Clients

    def send(self, *events: dict[str, Any]) -> list[str]:
        """What a client sends is taken in; the ids that it is given."""
        state = self.state
        stored = Stored(
            id="sesn_1", created_at=0, updated_at=0, archived_at=None, status=self.status,  # type: ignore[arg-type]
            agent_ref=("a", 1), environment_id="e", deployment_id=None, self_hosted=self.self_hosted,
            body=sql.Body(outcome_evaluations=self._outcomes()),
        )  # fmt: skip
        last = max((event.position for event in self.log if event.processed_at is None), default=sql.WAITING)
        receipt = Receipt(stored, state.calls, End(state.position, state.at), last, self.now)
        for event in events:
            receipt.take_in(msgspec.convert(event, InboundEvent))
        for _, position, event_id, _, kind, shown_at, body in receipt.rows:
            processed_at = shown_at if position < sql.WAITING else None
            self.events[event_id] = LogEvent(
                id=event_id, type=kind, position=position, processed_at=processed_at, body=msgspec.json.decode(body)
            )
        if receipt.wants_turn:
            self.wants_turn_at = self.now
            self.status = "running" if receipt.resumes else self.status
        return [row[2] for row in receipt.rows]

    def _outcomes(self) -> list[OutcomeEvaluation]:
        """What the session shows of an outcome that has not ended."""
        waiting = [event.body for event in self.state.waiting if event.type == "user.define_outcome"]
        return [
            OutcomeEvaluation(outcome_id=each["outcome_id"], description="", iteration=0, result="running")
            for each in (self.state.outcome, *waiting)
            if each is not None
        ]

    # The turn

    def step(self, *came: Came, only_record: bool = False, crashed: bool = False) -> Then:
        """A step, as the turn stores it. One that crashed is on paper, but nobody does what it says."""
        for each in came:
            if isinstance(each, Finished):
                self.flight.remove(each.call_id)
        done = step(self.state, self.now, self.terms, came, under_way=bool(self.flight), only_record=only_record)
        self._keep(done)
        self.then = done.then
        if isinstance(done.then, Run) and not crashed:
            self.flight = [call.id for call in done.then.calls]
        if isinstance(done.then, Rest):
            self.wants_turn_at = done.then.until
        self.status = self.state.status
        return done.then

    def _keep(self, done: Step) -> None:
        for event in done.new:
            assert event.position not in {each.position for each in self.events.values()}
            self.events[event.id] = event
        for waited_at, event in done.taken:
            assert self.events[event.id].position == waited_at
            self.events[event.id] = event
        for name in done.started:
            self.events[name] = replace(self.events[name], notes={**self.events[name].notes, "started": self.now})
        assert done.state == self.state, "the state follows from the log"

    def crash(self) -> None:
        """Whoever turned has died; what was under way is lost."""
        self.flight = []
        self.then = Rest()
        self.wants_turn_at = self.wants_turn_at if self.wants_turn_at is not None else self.now

    def interrupt_flight(self) -> Then:
        """An interrupt has come: what is under way is stopped."""
        asking = isinstance(self.then, Ask)
        self.flight = []
        return self.step(*([Cut()] if asking else []))

    def came(self, reply: Reply | ProviderFailure) -> Came:
        if isinstance(reply, ProviderFailure):
            return Failed(kind=reply.kind, message=reply.message, retry=reply.retry, retry_after=reply.retry_after)
        return Replied(reply=reply, message_id=f"sevt_m{len(self.events)}", thinking_id=f"sevt_t{len(self.events)}")

    def play(self, *replies: Reply | ProviderFailure, during: Callable[[str], None] | None = None) -> None:
        """Turn until the session rests, with these replies. ``during`` is called with ``ask`` or a tool's name, while it goes on."""
        queue = list(replies)
        then = self.step()
        while not isinstance(then, Rest):
            if isinstance(then, Ask):
                if during is not None:
                    during("ask")
                then = self.step(self.came(queue.pop(0)))
            elif isinstance(then, Run):
                for call in then.calls:
                    self.ran.append(call.name)
                    if during is not None:
                        during(call.name)
                    if self.state.interrupts():
                        then = self.interrupt_flight()
                        break
                    then = self.step(finished(call.id))
            else:
                raise AssertionError(then)
        assert not queue, f"the model was not asked for {queue}"

    def types(self) -> list[str]:
        return [short(shown(event)) for event in self.log]

    def calls(self) -> list[str]:
        return [event.id for event in self.log if event.type.endswith("tool_use")]

    def stops(self) -> list[Any]:
        """The stop reasons of the session, in order."""
        return [event.body["stop_reason"] for event in self.log if event.type == "session.status_idle"]

    def texts(self, kind: str) -> list[str]:
        return ["".join(block["text"] for block in event.body["content"]) for event in self.log if event.type == kind]


def finished(call_id: str, *, is_error: bool = False) -> Finished:
    return Finished(call_id, Outcome([{"type": "text", "text": "Ran."}], is_error=is_error))


def shown(event: LogEvent) -> dict[str, Any]:
    return {"type": event.type, "processed_at": event.processed_at, **event.body}
