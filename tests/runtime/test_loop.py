"""The loop, scenario by scenario: exactly which events, in exactly which order (contract, sessions §6).

A scenario is a list of acts. What a client sends, or what the model says, and then what the log has gained by it. ``S:`` are
the session's events, ``T:`` the primary thread's.
"""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from rota.resources.agents.prices import Price
from rota.runtime.came import Failed, pause
from rota.runtime.loop import Ask, Rest, Run, Wait
from rota.runtime.provider import Reply
from tests.runtime.judge import judge
from tests.runtime.paper import SECOND, Paper, finished, shown
from tests.runtime.players import fails, say, use
from tests.runtime.stage import INTERRUPT, allow, answer, deny, message, short, worked

RUN = "S:running T:running"
ASKED = "span.model_request_start"
TOLD = "agent.message span.model_request_end"
END = "T:idle_end_turn S:usage S:idle_end_turn"
ACT = "T:idle_requires_action S:usage S:idle_requires_action"
GIVE_UP = "T:idle_retries_exhausted S:usage S:idle_retries_exhausted"
FAILED = "span.model_request_end_error"
LATER = "T:rescheduled S:rescheduled"
OUTCOME = {"type": "user.define_outcome", "description": "Sums.", "rubric": {"type": "text", "content": "Right."}}
SYSTEM = {"type": "system.message", "content": [{"type": "text", "text": "Be brief."}]}


def on(number: int, make: Callable[..., dict[str, Any]], *more: Any) -> Callable[[Paper], dict[str, Any]]:
    """An answer to the paper's call of that number."""
    return lambda paper: make(paper.calls()[number], *more)


def scene(*acts: Any) -> list[Any]:
    return list(acts)


ASK_USER, ASK_OTHER = use("ask_user"), use("ask_other")
BASH, READ, GLOB = use("bash", command="ls"), use("read", file_path="a"), use("glob", pattern="*")
WRITE, EDIT, GREP = use("write", file_path="a", content="b"), use("edit"), use("grep")

SCENES: dict[str, list[Any]] = {
    "6.1 a plain turn": scene(
        message(), [say()], f"{RUN} user.message {ASKED} {TOLD} {END}",
    ),
    "6.1 with a thought": scene(
        message(), [say(thinking="Hm.")], f"{RUN} user.message {ASKED} agent.thinking {TOLD} {END}",
    ),
    "an empty reply": scene(
        message(), [say("")], f"{RUN} user.message {ASKED} span.model_request_end {END}",
    ),
    "several messages are consumed together": scene(
        message("1"), message("2"), [say()], f"{RUN} user.message user.message {ASKED} {TOLD} {END}",
    ),
    "a system message goes along": scene(
        message(), SYSTEM, [say()], f"{RUN} user.message system.message {ASKED} {TOLD} {END}",
    ),
    "a system message alone waits for the next request": scene(
        SYSTEM, [], "system.message_waits", message(), [say()], f"{RUN} system.message user.message {ASKED} {TOLD} {END}",
    ),
    "an output cut short ends the turn": scene(
        message(), [say("Cut", stop="max_tokens")], f"{RUN} user.message {ASKED} {TOLD} {END}",
    ),
    "a pause of the model's is gone on from": scene(
        message(), [say("Wait.", stop="pause_turn"), say()], f"{RUN} user.message {ASKED} {TOLD} {ASKED} {TOLD} {END}",
    ),
    "6.2 a built-in tool": scene(
        message(), [say("Look.", BASH), say()],
        f"{RUN} user.message {ASKED} agent.message agent.tool_use span.model_request_end agent.tool_result {ASKED} {TOLD} {END}",
    ),
    "6.2 tools with effects run one after the other": scene(
        message(), [say("", BASH, use("bash", 2)), say()],
        f"{RUN} user.message {ASKED} agent.tool_use agent.tool_use span.model_request_end agent.tool_result agent.tool_result "
        f"{ASKED} {TOLD} {END}",
    ),
    "6.2 a call that was cut short is dispatched with what there is": scene(
        message(), [say("", use("bash"), stop="max_tokens"), say()],
        f"{RUN} user.message {ASKED} agent.tool_use span.model_request_end agent.tool_result {ASKED} {TOLD} {END}",
    ),
    "6.2 a turn of ask and allow is gated whole": scene(
        message(), [say("", BASH, WRITE)],
        f"{RUN} user.message {ASKED} agent.tool_use agent.tool_use span.model_request_end {ACT}",
        on(1, allow), [say()],
        f"user.tool_confirmation {RUN} agent.tool_result agent.tool_result {ASKED} {TOLD} {END}",
    ),
    "6.3 a custom tool": scene(
        message(), [say("", ASK_USER)], f"{RUN} user.message {ASKED} agent.custom_tool_use span.model_request_end {ACT}",
        on(0, answer), [say()], f"user.custom_tool_result {RUN} {ASKED} {TOLD} {END}",
    ),
    "6.3 partial answers are announced": scene(
        message(), [say("", ASK_USER, ASK_OTHER)],
        f"{RUN} user.message {ASKED} agent.custom_tool_use agent.custom_tool_use span.model_request_end {ACT}",
        on(0, answer), [], f"user.custom_tool_result {ACT}",
        on(1, answer), [say()], f"user.custom_tool_result {RUN} {ASKED} {TOLD} {END}",
    ),
    "6.3 an early answer waits for the earlier one": scene(
        message(), [say("", ASK_USER, ASK_OTHER)],
        f"{RUN} user.message {ASKED} agent.custom_tool_use agent.custom_tool_use span.model_request_end {ACT}",
        on(1, answer), [], "user.custom_tool_result_waits",
        on(0, answer), [say()], f"user.custom_tool_result user.custom_tool_result {RUN} {ASKED} {TOLD} {END}",
    ),
    "6.3 answers in one request, in any order": scene(
        message(), [say("", ASK_USER, ASK_OTHER)],
        f"{RUN} user.message {ASKED} agent.custom_tool_use agent.custom_tool_use span.model_request_end {ACT}",
        on(1, answer), on(0, answer), [say()],
        f"user.custom_tool_result user.custom_tool_result {RUN} {ASKED} {TOLD} {END}",
    ),
    "6.3 built-ins run before the client is asked": scene(
        message(), [say("", ASK_USER, BASH)],
        f"{RUN} user.message {ASKED} agent.custom_tool_use agent.tool_use span.model_request_end agent.tool_result {ACT}",
        on(0, answer), [say()], f"user.custom_tool_result {RUN} {ASKED} {TOLD} {END}",
    ),
    "6.3 a message while an answer is wanted waits for it": scene(
        message(), [say("", ASK_USER)], f"{RUN} user.message {ASKED} agent.custom_tool_use span.model_request_end {ACT}",
        message(), [], "user.message_waits",
        on(0, answer), [say()], f"user.custom_tool_result {RUN} user.message {ASKED} {TOLD} {END}",
    ),
    "6.4 allow": scene(
        message(), [say("", WRITE)], f"{RUN} user.message {ASKED} agent.tool_use span.model_request_end {ACT}",
        on(0, allow), [say()], f"user.tool_confirmation {RUN} agent.tool_result {ASKED} {TOLD} {END}",
    ),
    "6.4 deny": scene(
        message(), [say("", WRITE)], f"{RUN} user.message {ASKED} agent.tool_use span.model_request_end {ACT}",
        on(0, deny, "No."), [say()], f"user.tool_confirmation {RUN} agent.tool_result_error {ASKED} {TOLD} {END}",
    ),
    "6.4 auto asks": scene(
        message(), [say("", EDIT)], f"{RUN} user.message {ASKED} agent.tool_use span.model_request_end {ACT}",
        on(0, allow), [say()], f"user.tool_confirmation {RUN} agent.tool_result {ASKED} {TOLD} {END}",
    ),
    "6.4 a deny that leaves another pending starts nothing": scene(
        message(), [say("", WRITE, use("write", 2))],
        f"{RUN} user.message {ASKED} agent.tool_use agent.tool_use span.model_request_end {ACT}",
        on(0, deny), [], f"user.tool_confirmation {ACT}",
        on(1, allow), [say()],
        f"user.tool_confirmation {RUN} agent.tool_result_error agent.tool_result {ASKED} {TOLD} {END}",
    ),
    "6.4 what is allowed runs although another still asks": scene(
        message(), [say("", WRITE, use("write", 2))],
        f"{RUN} user.message {ASKED} agent.tool_use agent.tool_use span.model_request_end {ACT}",
        on(0, allow), [], f"user.tool_confirmation {RUN} agent.tool_result {ACT}",
        on(1, allow), [say()], f"user.tool_confirmation {RUN} agent.tool_result {ASKED} {TOLD} {END}",
    ),
    "6.4 a deny beside a custom tool": scene(
        message(), [say("", WRITE, ASK_USER)],
        f"{RUN} user.message {ASKED} agent.tool_use agent.custom_tool_use span.model_request_end {ACT}",
        on(0, deny), [], f"user.tool_confirmation {ACT}",
        on(1, answer), [say()],
        f"user.custom_tool_result {RUN} agent.tool_result_error {ASKED} {TOLD} {END}",
    ),
    "6.5 a disabled and an unknown tool": scene(
        message(), [say("", GREP, use("fly")), say()],
        f"{RUN} user.message {ASKED} agent.tool_use agent.tool_use span.model_request_end "
        f"agent.tool_result_error agent.tool_result_error {ASKED} {TOLD} {END}",
    ),
    "6.7 an interrupt at rest is taken up and nothing else": scene(
        message(), [say()], f"{RUN} user.message {ASKED} {TOLD} {END}", INTERRUPT, [], "user.interrupt",
    ),
    "6.7 redirect: interrupt and message, at rest": scene(
        INTERRUPT, message(), [say()], f"user.interrupt {RUN} user.message {ASKED} {TOLD} {END}",
    ),
    "6.7 an interrupt right behind a message leaves that in the queue": scene(
        message(), INTERRUPT, [say()], f"user.interrupt {RUN} user.message {ASKED} {TOLD} {END}",
    ),
    "6.7 nor does a message that came before it, and one behind it, make it more than an interrupt at rest": scene(
        message(), INTERRUPT, message(), [say()], f"user.interrupt {RUN} user.message user.message {ASKED} {TOLD} {END}",
    ),
    "6.7 an interrupt while an answer is wanted": scene(
        message(), [say("", ASK_USER, WRITE)],
        f"{RUN} user.message {ASKED} agent.custom_tool_use agent.tool_use span.model_request_end {ACT}",
        INTERRUPT, [], f"user.custom_tool_result_error agent.tool_result_error user.interrupt {END}",
    ),
    "6.7 an interrupt keeps the answers that came": scene(
        message(), [say("", ASK_USER, ASK_OTHER)],
        f"{RUN} user.message {ASKED} agent.custom_tool_use agent.custom_tool_use span.model_request_end {ACT}",
        on(1, answer), INTERRUPT, [],
        f"user.custom_tool_result_error user.custom_tool_result user.interrupt {END}",
    ),
    "6.7 an interrupt right behind an answer stops what that sets going": scene(
        message(), [say("", WRITE)], f"{RUN} user.message {ASKED} agent.tool_use span.model_request_end {ACT}",
        on(0, allow), INTERRUPT, [], f"user.tool_confirmation agent.tool_result_error user.interrupt {END}",
        message(), [say("", ASK_USER)], f"{RUN} user.message {ASKED} agent.custom_tool_use span.model_request_end {ACT}",
        on(1, answer), INTERRUPT, [], f"user.custom_tool_result user.interrupt {END}",
    ),
    "6.7 redirect while an answer is wanted": scene(
        message(), [say("", ASK_USER)], f"{RUN} user.message {ASKED} agent.custom_tool_use span.model_request_end {ACT}",
        INTERRUPT, message(), [say()],
        f"user.custom_tool_result_error user.interrupt {END} {RUN} user.message {ASKED} {TOLD} {END}",
    ),
    "6.8 retry and success": scene(
        message(), [fails()], f"{RUN} user.message {ASKED} {FAILED} S:error_model_overloaded_error_retrying {LATER}",
        2.0, [say()], f"{RUN} {ASKED} {TOLD} {END}",
    ),
    "6.8 not before it is time": scene(
        message(), [fails(after=30)], f"{RUN} user.message {ASKED} {FAILED} S:error_model_overloaded_error_retrying {LATER}",
        10.0, [], "", 20.0, [say()], f"{RUN} {ASKED} {TOLD} {END}",
    ),
    "6.8 what is sent meanwhile goes along": scene(
        message(), [fails()], f"{RUN} user.message {ASKED} {FAILED} S:error_model_overloaded_error_retrying {LATER}",
        message(), [], "user.message_waits", 2.0, [say()], f"{RUN} user.message {ASKED} {TOLD} {END}",
    ),
    "6.7 an interrupt cancels the retry": scene(
        message(), [fails()], f"{RUN} user.message {ASKED} {FAILED} S:error_model_overloaded_error_retrying {LATER}",
        INTERRUPT, [], f"user.interrupt {END}",
    ),
    "6.8 give up": scene(
        message(), [fails("rate_limited")],
        f"{RUN} user.message {ASKED} {FAILED} S:error_model_rate_limited_error_retrying {LATER}",
        2.0, [fails("rate_limited")],
        f"{RUN} {ASKED} {FAILED} S:error_model_rate_limited_error_retrying {LATER}",
        4.0, [fails("rate_limited")], f"{RUN} {ASKED} {FAILED} S:error_model_rate_limited_error_exhausted {GIVE_UP}",
        message(), [say()], f"{RUN} user.message {ASKED} {TOLD} {END}",
    ),
    "6.8 no use to try again": scene(
        message(), [fails("billing", retry=False)],
        f"{RUN} user.message {ASKED} {FAILED} S:error_billing_error_exhausted {GIVE_UP}",
    ),
    "4.6 too long for the model": scene(
        message(), [fails("context_overflow", retry=False)],
        f"{RUN} user.message {ASKED} {FAILED} S:error_unknown_error_terminal S:terminated",
    ),
    "6.10 refusal": scene(
        message(), [Reply(content=[], stop_reason="refusal", usage=say().usage, stop_details={"category": "cyber"})],
        f"{RUN} user.message {ASKED} span.model_request_end T:idle_refusal S:usage S:idle_refusal",
    ),
    "6.12 an outcome is worked for and not judged": scene(
        OUTCOME, [say("", BASH), say()],
        f"{RUN} user.define_outcome {ASKED} agent.tool_use span.model_request_end agent.tool_result {ASKED} {TOLD} "
        f"span.outcome_evaluation_start span.outcome_evaluation_end {END}",
    ),
    "6.7 an interrupt ends an outcome": scene(
        OUTCOME, [say("", ASK_USER)],
        f"{RUN} user.define_outcome {ASKED} agent.custom_tool_use span.model_request_end {ACT}",
        INTERRUPT, [], f"user.custom_tool_result_error user.interrupt span.outcome_evaluation_end {END}",
    ),
    "6.7 an interrupt leaves an outcome in the queue that nobody works for yet": scene(
        OUTCOME, INTERRUPT, [say()],
        f"user.interrupt {RUN} user.define_outcome {ASKED} {TOLD} span.outcome_evaluation_start span.outcome_evaluation_end {END}",
    ),
    "6.7 an interrupt at rest ends an outcome whose turn died": scene(
        OUTCOME, [fails("billing", retry=False)],
        f"{RUN} user.define_outcome {ASKED} {FAILED} S:error_billing_error_exhausted {GIVE_UP}",
        INTERRUPT, [], f"user.interrupt span.outcome_evaluation_end {END}",
        INTERRUPT, [], "user.interrupt",
    ),
    "6.8 a message goes on with an outcome whose turn died": scene(
        OUTCOME, [fails("billing", retry=False)],
        f"{RUN} user.define_outcome {ASKED} {FAILED} S:error_billing_error_exhausted {GIVE_UP}",
        message(), [say()],
        f"{RUN} user.message {ASKED} {TOLD} span.outcome_evaluation_start span.outcome_evaluation_end {END}",
    ),
    "6.11 an outcome ends with its session": scene(
        OUTCOME, [fails("context_overflow", retry=False)],
        f"{RUN} user.define_outcome {ASKED} {FAILED} span.outcome_evaluation_end S:error_unknown_error_terminal S:terminated",
    ),
    "a turn that takes too many requests": scene(
        message(), [say("", BASH), say("", BASH), say("", BASH), say("", BASH)],
        f"{RUN} user.message " + f"{ASKED} agent.tool_use span.model_request_end agent.tool_result " * 4
        + f"S:error_tool_use_limit_reached_error_exhausted {GIVE_UP}",
        message(), [say()], f"{RUN} user.message {ASKED} {TOLD} {END}",
    ),
}  # fmt: skip

SELF_HOSTED: dict[str, list[Any]] = {
    "14.7 a built-in tool": scene(
        message(), [say("", BASH)], f"{RUN} user.message {ASKED} agent.tool_use span.model_request_end {ACT}",
        on(0, worked), [say()], f"user.tool_result {RUN} {ASKED} {TOLD} {END}",
    ),
    "14.7 one that asks is announced again when it was allowed": scene(
        message(), [say("", WRITE)], f"{RUN} user.message {ASKED} agent.tool_use span.model_request_end {ACT}",
        on(0, allow), [], f"user.tool_confirmation {ACT}",
        on(0, worked), [say()], f"user.tool_result {RUN} {ASKED} {TOLD} {END}",
    ),
    "14.6 a denial is told by the server": scene(
        message(), [say("", WRITE)], f"{RUN} user.message {ASKED} agent.tool_use span.model_request_end {ACT}",
        on(0, deny), [say()], f"user.tool_confirmation {RUN} agent.tool_result_error {ASKED} {TOLD} {END}",
    ),
    "14.6 an interrupt closes calls in the worker's own words": scene(
        message(), [say("", BASH, ASK_USER)],
        f"{RUN} user.message {ASKED} agent.tool_use agent.custom_tool_use span.model_request_end {ACT}",
        INTERRUPT, [], f"user.tool_result_error user.custom_tool_result_error user.interrupt {END}",
    ),
    "a disabled tool": scene(
        message(), [say("", GREP), say()],
        f"{RUN} user.message {ASKED} agent.tool_use span.model_request_end agent.tool_result_error {ASKED} {TOLD} {END}",
    ),
}  # fmt: skip


def perform(paper: Paper, acts: list[Any]) -> None:
    """Play the acts, and compare what the log has gained after each list of replies."""
    seen: set[str] = set()
    sends: list[dict[str, Any]] = []
    for act in acts:
        if isinstance(act, float):
            paper.now += int(act * SECOND)
        elif isinstance(act, list):
            if sends:
                paper.send(*sends)
                sends = []
            paper.play(*act)
        elif isinstance(act, str):
            gained = [short(shown(event)).replace(" ", "_") for event in paper.log if key(event) not in seen]
            assert gained == act.split()
            seen = {key(event) for event in paper.log}
        else:
            sends.append(act(paper) if callable(act) else act)
    judge(paper.log, self_hosted=paper.self_hosted)


def key(event: Any) -> str:
    return f"{event.id} {event.processed_at is None}"


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_reads_as_the_contract_has_it(name: str) -> None:
    perform(Paper(attempts=3, max_requests=4), SCENES[name])


@pytest.mark.parametrize("name", SELF_HOSTED)
def test_a_scene_of_a_self_hosted_environment(name: str) -> None:
    perform(Paper(self_hosted=True), SELF_HOSTED[name])


def test_servers_that_cannot_be_reached_are_told_of_whenever_an_idle_session_runs() -> None:
    """Once for each time (contract §4.6); what is missing besides is told the first time. A retry is no such time."""

    def error(kind: str) -> dict[str, Any]:
        return {"error": {"type": kind, "retry_status": {"type": "retrying"}}}

    mcp, other = "S:error_mcp_connection_failed_error_retrying", "S:error_unknown_error_retrying"
    paper = Paper(unreachable=[error("mcp_connection_failed_error")], missing=[error("unknown_error")])
    perform(paper, [
        message(), [fails()],
        f"S:running {mcp} {other} T:running user.message {ASKED} {FAILED} S:error_model_overloaded_error_retrying {LATER}",
        2.0, [say("", ASK_USER)], f"{RUN} {ASKED} agent.custom_tool_use span.model_request_end {ACT}",
        on(0, answer), [say()], f"user.custom_tool_result S:running {mcp} T:running {ASKED} {TOLD} {END}",
        message(), [say()], f"S:running {mcp} T:running user.message {ASKED} {TOLD} {END}",
    ])  # fmt: skip


# What happens in the middle of something


def began(**more: Any) -> Paper:
    paper = Paper(**more)
    paper.send(message())
    return paper


def test_a_message_in_the_middle_of_a_turn_goes_with_the_next_request() -> None:
    paper = began()
    paper.play(
        say("", BASH), say(), during=lambda what: paper.send(message("More.")) and None if what == "bash" else None
    )
    assert paper.types()[6:] == [
        "agent.tool_result", "user.message", ASKED, "agent.message", "span.model_request_end",
        "T:idle end_turn", "S:usage", "S:idle end_turn",
    ]  # fmt: skip
    judge(paper.log)


def test_a_message_during_the_last_request_makes_the_turn_longer() -> None:
    paper, said = began(), list[int]()

    def once(what: str) -> None:
        if not said:
            said.append(1)
            paper.send(message("And more."))

    paper.play(say(), say(), during=once)
    assert paper.types().count("S:running") == 1
    assert paper.types().count("S:idle end_turn") == 1
    judge(paper.log)


def test_an_interrupt_during_a_tool_closes_it_and_what_follows() -> None:
    paper = began()
    paper.play(
        say("", BASH, use("bash", 2)), during=lambda what: paper.send(INTERRUPT) and None if what == "bash" else None
    )
    assert paper.types()[-6:] == [
        "agent.tool_result error", "agent.tool_result error", "user.interrupt", "T:idle end_turn", "S:usage", "S:idle end_turn",
    ]  # fmt: skip
    assert paper.texts("agent.tool_result") == ["Tool execution was interrupted before completion. Please retry."] * 2
    assert paper.ran == ["bash"]
    judge(paper.log)


def test_queued_messages_stay_queued_through_an_interrupt_and_start_the_next_turn() -> None:
    paper = began()

    def during(what: str) -> None:
        if what == "bash":
            paper.send(message("Before."), INTERRUPT, message("After."))

    paper.play(say("", BASH), say(), during=during)
    tail = paper.types()[paper.types().index("user.interrupt") :]
    assert tail[:8] == [
        "user.interrupt", "T:idle end_turn", "S:usage", "S:idle end_turn", "S:running", "T:running", "user.message", "user.message",
    ]  # fmt: skip
    judge(paper.log)


def test_a_request_that_an_interrupt_stops_is_closed() -> None:
    paper = began()
    assert isinstance(paper.step(), Ask)
    paper.send(INTERRUPT)
    assert isinstance(paper.interrupt_flight(), Rest)
    assert paper.types()[3:] == [
        ASKED, "span.model_request_end error", "user.interrupt", "T:idle end_turn", "S:usage", "S:idle end_turn",
    ]  # fmt: skip
    judge(paper.log)


def test_a_reply_that_came_before_the_interrupt_was_seen_stands() -> None:
    paper = began()
    then = paper.step()
    paper.send(INTERRUPT)
    assert isinstance(then, Ask)
    paper.step(paper.came(say("Here.", BASH)))
    assert paper.types()[3:8] == [
        ASKED,
        "agent.message",
        "agent.tool_use",
        "span.model_request_end",
        "agent.tool_result error",
    ]
    judge(paper.log)


def test_tools_that_change_nothing_run_together() -> None:
    paper = began()
    paper.step()
    then = paper.step(paper.came(say("", READ, GLOB)))
    assert isinstance(then, Run)
    assert [call.name for call in then.calls] == ["read", "glob"]
    first, second = then.calls
    assert isinstance(paper.step(finished(second.id)), Wait)
    assert isinstance(paper.step(finished(first.id)), Ask)
    judge(paper.log)


def test_a_tool_with_effects_runs_alone() -> None:
    paper = began()
    paper.step()
    then = paper.step(paper.came(say("", READ, BASH)))
    assert isinstance(then, Run)
    assert [call.name for call in then.calls] == ["read"]


# Who comes after somebody that died


def test_a_request_of_somebody_who_died_is_closed_and_asked_again() -> None:
    paper = began()
    paper.step()
    paper.crash()
    paper.play(say())
    assert paper.types()[3:6] == [ASKED, "span.model_request_end error", ASKED]
    judge(paper.log)


def test_a_request_that_kills_whoever_asks_is_given_up() -> None:
    paper = began(attempts=3)
    for _ in range(3):
        paper.step()
        paper.crash()
    assert isinstance(paper.step(), Rest)
    assert paper.stops()[-1] == {"type": "retries_exhausted"}
    judge(paper.log)


def test_a_tool_that_may_have_run_is_not_run_again() -> None:
    paper = began()
    paper.step()
    paper.step(paper.came(say("", BASH)))
    paper.crash()
    paper.play(say())
    assert paper.ran == []
    assert "cut short by a restart" in paper.texts("agent.tool_result")[0]
    judge(paper.log)


def test_a_tool_that_changes_nothing_is_run_again() -> None:
    paper = began()
    paper.step()
    paper.step(paper.came(say("", READ)))
    paper.crash()
    paper.play(say())
    assert paper.ran == ["read"]
    judge(paper.log)


def test_what_was_recorded_and_no_more_is_gone_on_from() -> None:
    paper = began()
    paper.step()
    assert isinstance(paper.step(paper.came(say("", BASH)), only_record=True), Wait)
    paper.crash()
    paper.play(say())
    assert paper.ran == ["bash"]
    judge(paper.log)


# Ids, texts, amounts


def test_what_is_required_is_named_in_the_models_order() -> None:
    paper = began()
    paper.play(say("", ASK_USER, WRITE, BASH))
    custom, write, _ = paper.calls()
    assert paper.stops()[-1] == {"type": "requires_action", "event_ids": [custom, write]}


def test_a_denial_is_told_in_the_recorded_words() -> None:
    paper = began()
    paper.play(say("", WRITE, use("write", 2)))
    first, second = paper.calls()
    paper.send(deny(first, "Not today."), deny(second))
    paper.play(say())
    assert paper.texts("agent.tool_result") == [
        "Permission to use write has been rejected. Rejection message: Not today.",
        "Permission to use write has been rejected.",
    ]


BUDGET = {"type": "limit", "max_list_cost": {"amount": "1", "currency": "USD"}}
DEAR = Price(50, 50)


def test_a_budget_is_looked_at_before_each_request() -> None:
    paper = began(price=DEAR, budget=BUDGET)
    paper.play(say("", BASH))
    assert paper.types()[-4:] == ["agent.tool_result", "T:idle budget_reached", "S:usage", "S:idle budget_reached"]
    assert isinstance(paper.step(), Rest)
    paper.terms = replace(paper.terms, budget=None)
    paper.play(say())
    assert paper.types()[-8:] == [
        "S:running", "T:running", ASKED, "agent.message", "span.model_request_end", "T:idle end_turn", "S:usage", "S:idle end_turn",
    ]  # fmt: skip
    judge(paper.log)


def test_a_turn_that_ends_over_its_budget_says_so_for_the_session_only() -> None:
    paper = began(price=DEAR, budget=BUDGET)
    paper.play(say())
    assert paper.types()[-3:] == ["T:idle end_turn", "S:usage", "S:idle budget_reached"]


def test_an_action_that_is_required_outranks_the_budget() -> None:
    paper = began(price=DEAR, budget=BUDGET)
    paper.play(say("", ASK_USER))
    assert paper.types()[-1] == "S:idle requires_action"


def test_usage_is_the_sum_of_the_spans_and_time_is_paid_for() -> None:
    paper = began(price=Price(5, 25))

    def slowly(what: str) -> None:
        paper.now += 3600 * SECOND

    paper.play(say("", BASH), say(), during=slowly)
    usage = next(event.body["usage"] for event in paper.log if event.type == "session.usage")
    assert (usage["input_tokens"], usage["output_tokens"]) == (200, 20)
    assert round(usage["active_seconds"]) == 3 * 3600
    assert usage["list_cost"] == {"amount": "24", "currency": "USD"}  # 0.15 cents of tokens, three hours at eight cents


def test_a_model_without_a_price_has_no_cost() -> None:
    paper = began()
    paper.play(say())
    usage = next(event.body["usage"] for event in paper.log if event.type == "session.usage")
    assert usage["list_cost"] is None


def test_pauses_grow_and_the_providers_word_counts() -> None:
    failed = Failed(kind="overloaded", message="", retry=True, jitter=1.0)
    assert [pause(number, failed) for number in (1, 2, 3, 10)] == [1.0, 2.0, 4.0, 60.0]
    assert pause(1, replace(failed, jitter=0.0)) == 0.5
    assert pause(1, replace(failed, retry_after=17.0)) == 17.0
    assert pause(1, replace(failed, retry_after=1000.0)) == 60.0
