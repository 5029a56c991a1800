"""The loop, scenario by scenario: exactly which events, in exactly which order (contract, sessions §6).

A scenario is a list of acts. What a client sends, or what the model says, and then what the log has gained by it. ``S:`` are
the session's events, ``T:`` the primary thread's.
"""

from collections.abc import Callable
from typing import Any

import pytest

from rota.runtime.provider import Reply
from tests.runtime.judge import judge
from tests.runtime.paper import SECOND, Paper, shown
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
    "6.7 an interrupt right behind a message stops that": scene(
        message(), INTERRUPT, [], f"{RUN} user.message user.interrupt {END}",
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
