"""Whatever clients send, models say and machines do: the log stays one that the contract allows, and nothing hangs.

Random sessions on paper, in which answers come in any order and twice, interrupts at any moment, and whoever turns may die
between any two steps. The judge knows nothing of the loop.
"""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rota.resources.sessions import calls
from rota.runtime.loop import Ask, Rest, Run
from rota.runtime.provider import Reply
from tests.runtime.judge import judge
from tests.runtime.paper import SECOND, Paper, finished
from tests.runtime.players import fails, say, use
from tests.runtime.stage import INTERRUPT, allow, answer, deny, message, worked

NAMES = ["bash", "read", "glob", "write", "edit", "grep", "ask_user", "ask_other", "fly"]
OUTCOME = {"type": "user.define_outcome", "description": "Sums.", "rubric": {"type": "text", "content": "Right."}}
SYSTEM = {"type": "system.message", "content": [{"type": "text", "text": "Be brief."}]}
MOVES = [
    "work",
    "work",
    "work",
    "work",
    "message",
    "answer",
    "answer",
    "deny",
    "interrupt",
    "crash",
    "part",
    "wait",
    "system",
    "outcome",
]
RUNS = settings(max_examples=150, deadline=None)


class Chance:
    """A session that is driven by draws."""

    def __init__(self, data: st.DataObject, *, self_hosted: bool) -> None:
        self.paper = Paper(self_hosted=self_hosted, attempts=3, max_requests=8)
        self.data = data
        self.started: Counter[str] = Counter()
        self.number = 0

    def reply(self) -> Any:
        kind = self.data.draw(st.sampled_from(["text", "calls", "calls", "fails", "refuses", "pauses"]))
        if kind == "text":
            return say()
        if kind == "fails":
            return fails(retry=self.data.draw(st.booleans()))
        if kind == "refuses":
            return Reply(content=[{"type": "text", "text": "No."}], stop_reason="refusal", usage=say().usage)
        if kind == "pauses":
            return say(stop="pause_turn")
        names = self.data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
        self.number += len(names)
        return say("", *(use(name, self.number + index) for index, name in enumerate(names)))

    def work(self) -> None:
        """One thing that the turn does: take the session up, or go on with what is under way."""
        paper = self.paper
        if isinstance(paper.then, Rest):
            if paper.wants_turn_at is not None and paper.wants_turn_at <= paper.now:
                self.note(paper.step())
        elif isinstance(paper.then, Ask):
            if paper.state.interrupts() and self.data.draw(st.booleans()):
                self.note(paper.interrupt_flight())
            else:
                self.note(paper.step(paper.came(self.reply())))
        elif paper.state.interrupts():
            self.note(paper.interrupt_flight())
        else:
            call = self.data.draw(st.sampled_from(sorted(paper.flight)))
            self.note(paper.step(finished(call, is_error=self.data.draw(st.booleans()))))

    def note(self, then: Any) -> None:
        if isinstance(then, Run):
            self.started.update(call.id for call in then.calls if call.name not in ("read", "glob"))

    def answer(self, *, denying: bool) -> None:
        """Answer a call that is open: any of them, not only the first; whatever was answered already is not again."""
        paper = self.paper
        told = {(event.type, calls.target(event.body)) for event in paper.log if event.type in calls.ANSWERS}
        makes: list[dict[str, Any]] = []
        for call in paper.state.calls:
            if call.settled:
                continue
            if call.permission == "ask" and ("user.tool_confirmation", call.id) not in told:
                makes.append(deny(call.id) if denying else allow(call.id))
            elif call.family == "custom" and ("user.custom_tool_result", call.id) not in told:
                makes.append(answer(call.id))
            elif call.family != "custom" and call.wants == "result" and ("user.tool_result", call.id) not in told:
                makes.append(worked(call.id))
        if makes:
            paper.send(*self.data.draw(st.permutations(makes))[: self.data.draw(st.integers(1, len(makes)))])

    def move(self, what: str) -> None:
        paper = self.paper
        if what == "message":
            paper.send(message())
        elif what == "system":
            paper.send(SYSTEM)
        elif what == "outcome":
            if paper.state.outcome is None and not any(
                event.type == "user.define_outcome" for event in paper.state.waiting
            ):
                paper.send(OUTCOME)
        elif what == "interrupt":
            paper.send(INTERRUPT)
        elif what in ("answer", "deny"):
            self.answer(denying=what == "deny")
        elif what == "crash":
            if not isinstance(paper.then, Rest):
                paper.crash()
        elif what == "part":
            if isinstance(paper.then, Ask):  # the server stops: what came is written down, and no more
                paper.step(paper.came(say()), only_record=True)
                paper.crash()
        elif what == "wait":
            paper.now += self.data.draw(st.integers(1, 90)) * SECOND
        else:
            self.work()

    def settle(self) -> None:
        """Let everybody do what is left to do."""
        paper = self.paper
        for _ in range(300):
            if not isinstance(paper.then, Rest) or (
                paper.wants_turn_at is not None and paper.wants_turn_at <= paper.now
            ):
                self.work_plainly()
            elif paper.wants_turn_at is not None:
                paper.now = paper.wants_turn_at
            elif calls.wanted(paper.state.calls):
                before = len(paper.log)
                self.answer(denying=False)
                assert len(paper.log) > before, "a call wants something, and nobody can give it"
            else:
                return
        raise AssertionError("it does not come to rest")

    def work_plainly(self) -> None:
        if isinstance(self.paper.then, Ask) and not self.paper.state.interrupts():
            self.note(self.paper.step(self.paper.came(say())))
        else:
            self.work()


def drive(data: st.DataObject, *, self_hosted: bool) -> None:
    chance = Chance(data, self_hosted=self_hosted)
    chance.move("message")
    for what in data.draw(st.lists(st.sampled_from(MOVES), max_size=40)):
        if chance.paper.state.status == "terminated":
            break
        chance.move(what)
        judge(chance.paper.log, self_hosted=self_hosted)
    chance.settle()
    paper = chance.paper
    judge(paper.log, self_hosted=self_hosted)
    assert paper.status in ("idle", "terminated")
    left = [event.type for event in paper.log if event.processed_at is None]
    assert paper.status == "terminated" or set(left) <= {"system.message"}
    assert all(count == 1 for count in chance.started.values()), "something with effects was started twice"


@given(st.data())
@RUNS
def test_no_session_ever_reads_otherwise_than_the_contract_allows(data: st.DataObject) -> None:
    drive(data, self_hosted=False)


@given(st.data())
@RUNS
def test_nor_one_of_a_self_hosted_environment(data: st.DataObject) -> None:
    drive(data, self_hosted=True)
