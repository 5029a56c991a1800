"""What users of the official client saw of sessions that ran: the events in their order, files in and out, answers, interrupts."""

from typing import Any

from tests.acceptance.conftest import Story
from tests.acceptance.sdks import VERSIONS
from tests.acceptance.test_journey import bad_request

START = ["session.status_running", "session.thread_status_running"]
ASK = "span.model_request_start"
ASKED = "span.model_request_end"
STOP = ["session.thread_status_idle", "session.usage", "session.status_idle"]


def kinds(events: list[Any]) -> list[str]:
    return [event["type"] for event in events]


def heard(story: Story, events: list[Any]) -> list[Any]:
    """Those of the events that this client gives to whoever follows a stream: the oldest passes over names that it does not know."""
    return [event for event in events if story.version != VERSIONS[0] or event["type"] != "session.usage"]


def shown(story: Story, kinds: list[str]) -> list[str]:
    """The same of types."""
    return [event["type"] for event in heard(story, [{"type": kind} for kind in kinds])]


def texts(event: Any) -> str:
    return "".join(block["text"] for block in event["content"])


def reasons(events: list[Any]) -> list[str]:
    return [event["stop_reason"]["type"] for event in events if event["type"] == "session.status_idle"]


def test_a_file_goes_in_and_another_comes_out(story: Story) -> None:
    seen = story.seen["turns"]["worked"]
    assert kinds(seen["listed"]) == [
        *START, "user.message",
        ASK, "agent.thinking", "agent.message", "agent.tool_use", ASKED, "agent.tool_result",
        ASK, "agent.tool_use", ASKED, "agent.tool_result",
        ASK, "agent.message", ASKED,
        *STOP,
    ]  # fmt: skip
    read, counted = seen["results"]
    assert "Ada,7" in texts(read)
    assert texts(counted).strip() == "3"
    assert not read["is_error"]
    [output] = seen["outputs"]
    assert (output["filename"], output["size_bytes"]) == ("count.txt", len(seen["content"]))
    assert seen["content"].strip() == "3"
    assert reasons(seen["listed"]) == ["end_turn"]


def test_what_is_followed_is_what_is_listed_with_previews_between(story: Story) -> None:
    seen = story.seen["turns"]["worked"]
    followed = [event for event in seen["followed"] if not event["type"].startswith("event_")]
    assert followed == heard(story, seen["listed"])
    previewed = {event["event"]["id"] for event in seen["followed"] if event["type"] == "event_start"}
    assert previewed == {
        event["id"] for event in seen["listed"] if event["type"] in ("agent.message", "agent.thinking")
    }
    said: dict[str, str] = {}
    for event in seen["followed"]:
        if event["type"] == "event_delta":
            said[event["event_id"]] = said.get(event["event_id"], "") + event["delta"]["content"]["text"]
    for event in seen["listed"]:
        if event["type"] == "agent.message":
            assert said[event["id"]] == texts(event)


def test_a_session_counts_what_it_consumes(story: Story) -> None:
    seen = story.seen["turns"]["worked"]
    assert seen["at first"]["status"] == seen["in the end"]["status"] == "idle"
    spans = [event["model_usage"] for event in seen["listed"] if event["type"] == ASKED]
    usage = seen["in the end"]["usage"]
    for name in ("input_tokens", "output_tokens"):
        assert usage[name] == sum(each[name] for each in spans) > 0
    assert seen["thread"]["usage"]["output_tokens"] == usage["output_tokens"]
    assert seen["thread"]["status"] == "idle"
    reported = next(event for event in seen["listed"] if event["type"] == "session.usage")
    told = {**reported["usage"], "active_seconds": usage["active_seconds"]}
    assert told == usage
    assert 0 <= usage["active_seconds"] - reported["usage"]["active_seconds"] < 0.001, (
        "the idle event follows the report"
    )
    own = [event for event in seen["listed"] if not event["type"].startswith("session.")]
    assert [event for event in seen["thread's events"] if not event["type"].startswith("session.")] == own


def test_the_order_of_events_is_their_instant(story: Story) -> None:
    for name, seen in story.seen["turns"].items():
        at = [event["processed_at"] for event in seen["listed"]]
        assert at == sorted(at), name
        assert len(set(at)) == len(at), name


def test_a_custom_tool_waits_for_its_result(story: Story) -> None:
    seen = story.seen["turns"]["stamped"]
    asked = [*START, "user.message", ASK, "agent.custom_tool_use", ASKED, *STOP]
    assert kinds(seen["asked"]) == shown(story, asked)
    [use] = [event for event in seen["asked"] if event["type"] == "agent.custom_tool_use"]
    assert (use["name"], use["input"]) == ("stamp", {"letter": "A"})
    assert seen["asked"][-1]["stop_reason"] == {"type": "requires_action", "event_ids": [use["id"]]}
    answered = ["user.custom_tool_result", *START, ASK, "agent.message", ASKED, *STOP]
    assert kinds(seen["answered"]) == shown(story, answered)
    assert texts(seen["answered"][4]) == "It is stamped."
    assert seen["asked"] + seen["answered"] == heard(story, seen["listed"])
    bad_request(seen["answered twice"], "has already been answered")


def test_a_call_that_asks_runs_if_it_is_allowed_and_never_if_not(story: Story) -> None:
    seen = story.seen["turns"]["confirmed"]
    uses = [event for event in seen["asked"] if event["type"] == "agent.tool_use"]
    assert [each["evaluated_permission"] for each in uses] == ["ask", "ask"]
    assert seen["asked"][-1]["stop_reason"]["event_ids"] == [each["id"] for each in uses]
    answered = [
        "user.tool_confirmation", "user.tool_confirmation", *START,
        "agent.tool_result", "agent.tool_result", ASK, "agent.message", ASKED, *STOP,
    ]  # fmt: skip
    assert kinds(seen["answered"]) == shown(story, answered)
    yes, no = (event for event in seen["answered"] if event["type"] == "agent.tool_result")
    assert (yes["tool_use_id"], texts(yes).strip(), yes["is_error"]) == (uses[0]["id"], "yes", False)
    assert (no["tool_use_id"], no["is_error"]) == (uses[1]["id"], True)
    assert texts(no) == "Permission to use bash has been rejected. Rejection message: Not today."
    assert seen["asked"] + seen["answered"] == heard(story, seen["listed"])


def test_an_interrupt_stops_and_the_message_after_it_begins_anew(story: Story) -> None:
    seen = story.seen["turns"]["interrupted"]
    redirected = [ASKED, "user.interrupt", *STOP, *START, "user.message", ASK, "agent.message", ASKED, *STOP]
    assert kinds(seen["redirected"]) == shown(story, redirected)
    assert seen["redirected"][0]["is_error"] is True
    assert reasons(seen["redirected"]) == ["end_turn", "end_turn"]
    assert not any("Too late." in texts(event) for event in seen["listed"] if event["type"] == "agent.message")
    assert seen["in the end"]["status"] == "idle"


def test_a_deployments_session_works_by_itself(story: Story) -> None:
    seen = story.seen["turns"]["deployed"]
    assert seen["run"]["error"] is None
    [result] = [event for event in seen["listed"] if event["type"] == "agent.tool_result"]
    assert texts(result).strip() == "unattended"
    assert reasons(seen["listed"]) == ["end_turn"]
    assert seen["backwards"] == seen["listed"][::-1]
    assert [each["id"] for each in seen["idle ones"]] == [seen["session"]["id"]]
    assert seen["running ones"] == []
    assert seen["session"]["usage"]["output_tokens"] > 0
