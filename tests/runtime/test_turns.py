"""Whole turns over both databases: what the log reads like afterwards (contract, sessions §6)."""

from datetime import datetime
from typing import Any

from tests.api import Api
from tests.runtime.players import say, use
from tests.runtime.stage import Stage, answer, message

BEGIN = ["S:status_running", "T:running"]


def stopped(reason: str) -> list[str]:
    return [f"T:idle {reason}", "S:usage", f"S:idle {reason}"]


def test_a_plain_turn(api: Api) -> None:
    stage = Stage(api, say("Hello to you.", thinking="Hm."), initial_events=[message()])
    assert stage.turn() == 1
    assert stage.types() == [
        "S:running",
        "T:running",
        "user.message",
        "span.model_request_start",
        "agent.thinking",
        "agent.message",
        "span.model_request_end",
        "T:idle end_turn",
        "S:usage",
        "S:idle end_turn",
    ]
    times = [datetime.fromisoformat(event["processed_at"]) for event in stage.log()]
    assert times == sorted(set(times))
    session = stage.session()
    assert session["status"] == "idle"
    assert session["usage"]["input_tokens"] == 100
    assert stage.turn() == 0


def test_a_custom_tool(api: Api) -> None:
    stage = Stage(api, say("", use("ask_user", q="?")), say("Thanks."), initial_events=[message()])
    stage.turn()
    [call] = stage.calls()
    before = stage.types()
    assert before[-3:] == ["T:idle requires_action", "S:usage", "S:idle requires_action"]
    assert stage.log()[-1]["stop_reason"]["event_ids"] == [call]
    stage.send(answer(call))
    assert stage.session()["status"] == "running"
    stage.turn()
    assert stage.types()[len(before) :] == [
        "user.custom_tool_result",
        "S:running",
        "T:running",
        "span.model_request_start",
        "agent.message",
        "span.model_request_end",
        "T:idle end_turn",
        "S:usage",
        "S:idle end_turn",
    ]


def test_a_built_in_tool(api: Api) -> None:
    stage = Stage(api, say("Looking.", use("bash", command="ls")), say("Two files."), initial_events=[message()])
    stage.turn()
    assert stage.types() == [
        "S:running",
        "T:running",
        "user.message",
        "span.model_request_start",
        "agent.message",
        "agent.tool_use",
        "span.model_request_end",
        "agent.tool_result",
        "span.model_request_start",
        "agent.message",
        "span.model_request_end",
        "T:idle end_turn",
        "S:usage",
        "S:idle end_turn",
    ]
    assert stage.bench.ran == [("bash", {"command": "ls"})]
    assert stage.bench.settled == [stage.id]
    second: Any = stage.player.asked[1]
    assert [m["role"] for m in second.messages] == ["user", "assistant", "user"]
    assert second.messages[2]["content"][0]["tool_use_id"] == "toolu_bash_1"
