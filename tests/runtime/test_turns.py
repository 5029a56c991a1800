"""Whole turns over both databases: what the log reads like afterwards (contract, sessions §6)."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec
import pytest

from rota.base.clock import HandClock
from rota.queue import outbox
from rota.resources.sessions import turns
from rota.resources.sessions.turns import Fenced
from rota.runtime.provider import ModelUsage
from rota.runtime.turn import Turn
from tests.api import Api
from tests.files import upload
from tests.runtime.players import fails, say, use
from tests.runtime.stage import HOLD, TOOLSET, Stage, answer, message, worked


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


# In the middle of something


def test_a_message_in_the_middle_goes_with_the_next_request(api: Api) -> None:
    stage = Stage(api, say("", use("bash")), say(), initial_events=[message()])
    stage.bench.gates["bash"] = asyncio.Event()

    async def work() -> None:
        turning = asyncio.create_task(stage.turns())
        await stage.bench.begun.wait()
        await api.call("POST", stage.path, {"events": [message("More.")]})
        stage.bench.gates["bash"].set()
        await turning

    api.run(work())
    assert stage.types()[6:9] == ["agent.tool_result", "user.message", "span.model_request_start"]
    assert stage.types().count("S:running") == 1
    last = stage.player.asked[1].messages[-1]["content"]
    assert [block["type"] for block in last] == ["tool_result", "text"]


@pytest.mark.parametrize("during", ["tool", "request"])
def test_an_interrupt_stops_what_is_under_way(api: Api, during: str) -> None:
    stage = Stage(api, say("", use("bash")), initial_events=[message()])
    stage.bench.gates["bash"] = asyncio.Event()
    begun = stage.bench.begun if during == "tool" else stage.player.begun
    if during == "request":
        stage.player.gate = asyncio.Event()

    async def work() -> None:
        [claim] = await api.house.db.write(turns.claim, 1, HOLD, [])
        turn = Turn(stage.parts, claim)
        turning = asyncio.create_task(turn.run())
        await begun.wait()
        turn.look()  # nothing is there yet: it goes on
        await api.call("POST", stage.path, {"events": [{"type": "user.interrupt"}]})
        turn.look()
        await turning

    api.run(work())
    assert stage.bench.cancelled == (["bash"] if during == "tool" else [])
    ends = ["user.interrupt", "T:idle end_turn", "S:usage", "S:idle end_turn"]
    closed = "agent.tool_result error" if during == "tool" else "span.model_request_end error"
    assert stage.types()[-5:] == [closed, *ends]
    assert stage.session()["status"] == "idle"


def test_a_retry_waits_for_its_moment_by_the_houses_clock(api: Api, clock: HandClock) -> None:
    stage = Stage(api, fails(after=20.0), say(), initial_events=[message()])
    assert stage.turn() == 1
    assert stage.types()[-3:] == ["S:error model_overloaded_error retrying", "T:rescheduled", "S:rescheduled"]
    assert stage.session()["status"] == "rescheduling"
    clock.advance(seconds=19)
    assert stage.turn() == 0
    clock.advance(seconds=2)
    assert stage.turn() == 1
    assert stage.types()[-1] == "S:idle end_turn"


# What the model is sent, and what is shown meanwhile


def test_a_conversation_goes_back_as_it_was(api: Api) -> None:
    both = (use("read", file_path="a"), use("glob", pattern="*"))
    stage = Stage(
        api, say("Let me see.", *both, thinking="Hm."), say("Two."), say("Again."),
        agent={"system": "You are a clerk."}, initial_events=[message("How many?")],
    )  # fmt: skip
    stage.turn()
    stage.send(message("And now?"))
    stage.turn()
    first, second, third = stage.player.asked
    assert [block["text"] for block in first.system] == ["You are a clerk.", "You have a bench."]
    assert [tool["name"] for tool in first.tools] == ["bash", "read", "write", "edit", "glob", "grep", "ask_user"]
    assert second.messages[0] == {"role": "user", "content": [{"type": "text", "text": "How many?"}]}
    assert [block["type"] for block in second.messages[1]["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert second.messages[1]["content"][0]["signature"] == "signed"
    assert [block["tool_use_id"] for block in second.messages[2]["content"]] == ["toolu_read_1", "toolu_glob_1"]
    assert [each["role"] for each in third.messages] == ["user", "assistant", "user", "assistant", "user"]
    assert third.effort is None


def test_files_are_sent_as_what_they_are(api: Api) -> None:
    text = upload(api, b"Figures.")["id"]
    picture = upload(api, b"\x89PNG", "a.png", "image/png")["id"]
    binary = upload(api, b"\xff\xfe\x00", "a.bin", "application/octet-stream")["id"]
    lost = upload(api, b"Lost.", "b.txt")["id"]
    blocks = [
        {"type": "document", "source": {"type": "file", "file_id": text}, "title": "Sums"},
        {"type": "image", "source": {"type": "file", "file_id": picture}},
        {"type": "document", "source": {"type": "file", "file_id": binary}},
        {"type": "document", "source": {"type": "file", "file_id": lost}},
    ]
    stage = Stage(api, initial_events=[{"type": "user.message", "content": blocks}])
    api.delete(f"/v1/files/{lost}").ok()
    stage.turn()
    document, image, odd, gone = stage.player.asked[0].messages[0]["content"]
    assert document == {
        "type": "document", "title": "Sums", "source": {"type": "text", "media_type": "text/plain", "data": "Figures."},
    }  # fmt: skip
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}
    assert "cannot be shown" in odd["text"]
    assert "not there any more" in gone["text"]


class Watcher:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def start(self, session_id: str, event_type: str, event_id: str) -> None:
        self.seen.append((event_type, event_id))

    def delta(self, session_id: str, event_id: str, index: int, text: str) -> None:
        self.seen.append((event_id, index, text))


def test_previews_have_the_ids_of_the_events_that_follow(sqlite_api: Api) -> None:
    watcher = Watcher()
    stage = Stage(sqlite_api, say("Hello there.", thinking="Hm."), previews=watcher, initial_events=[message()])
    stage.turn()
    thought = next(event["id"] for event in stage.log() if event["type"] == "agent.thinking")
    said = next(event["id"] for event in stage.log() if event["type"] == "agent.message")
    assert watcher.seen == [
        ("agent.thinking", thought), ("agent.message", said), (said, 0, "Hello "), (said, 0, "there."),
    ]  # fmt: skip


# What the session shows


def test_an_outcome_is_kept_in_the_session_and_announced(api: Api) -> None:
    stage = Stage(api, say(), initial_events=[OUTCOME])
    stage.turn()
    [shown] = stage.session()["outcome_evaluations"]
    assert (shown["result"], shown["iteration"], shown["description"]) == ("failed", 0, "Sums.")
    assert "does not grade" in shown["explanation"]
    assert "Sums." in stage.player.asked[0].messages[0]["content"][0]["text"]
    events = [each.event for each in api.read(outbox.waiting, None, 100) if each.resource_id == stage.id]
    assert events == [
        "session.created", "session.status_run_started", "session.running", "session.outcome_evaluation_ended",
        "session.status_idled", "session.idled", "session.thread_idled",
    ]  # fmt: skip
    stage.send(OUTCOME)  # the last one has ended


OUTCOME = {"type": "user.define_outcome", "description": "Sums.", "rubric": {"type": "text", "content": "Right."}}


def outcome_of(session: dict[str, Any]) -> tuple[str, bool]:
    """The result of a session's last outcome, and whether it has ended."""
    last = session["outcome_evaluations"][-1]
    return last["result"], last["completed_at"] is not None


def events_of(api: Api, stage: Stage) -> list[str]:
    """The webhook events about a session, in order."""
    return [each.event for each in api.read(outbox.waiting, None, 100) if each.resource_id == stage.id]


@pytest.mark.parametrize("at", ["creation", "once it is there"])
def test_an_outcome_is_pending_until_the_agent_works_for_it(api: Api, at: str) -> None:
    stage = Stage(api, say("", use("ask_user")), **({"initial_events": [OUTCOME]} if at == "creation" else {}))
    if at != "creation":
        assert stage.session()["outcome_evaluations"] == []
        stage.send(OUTCOME)
    waits = next(event for event in stage.log() if event["type"] == "user.define_outcome")
    [shown] = stage.session()["outcome_evaluations"]
    assert (shown["outcome_id"], shown["result"], shown["iteration"]) == (waits["outcome_id"], "pending", 0)
    stage.turn()
    assert outcome_of(stage.session()) == ("running", False)
    assert len(stage.session()["outcome_evaluations"]) == 1


def test_an_outcome_that_is_interrupted_ends_and_makes_room(api: Api) -> None:
    stage = Stage(api, say("", use("ask_user")), say(), initial_events=[OUTCOME])
    stage.turn()
    api.post(stage.path, {"events": [OUTCOME]}).refused(400)
    stage.send({"type": "user.interrupt"})
    stage.turn()
    assert stage.types()[-6:-3] == ["user.custom_tool_result error", "user.interrupt", "span.outcome_evaluation_end"]
    assert stage.log()[-4]["outcome_evaluation_start_id"] == ""
    assert outcome_of(stage.session()) == ("interrupted", True)
    assert events_of(api, stage).count("session.outcome_evaluation_ended") == 1
    stage.send(OUTCOME)
    stage.turn()
    assert [each["result"] for each in stage.session()["outcome_evaluations"]] == ["interrupted", "failed"]


def test_an_outcome_whose_turn_died_can_be_interrupted_at_rest(api: Api) -> None:
    stage = Stage(api, fails("billing", retry=False), say(), initial_events=[OUTCOME])
    stage.turn()
    assert outcome_of(stage.session()) == ("running", False)
    api.post(stage.path, {"events": [OUTCOME]}).refused(400)
    stage.send({"type": "user.interrupt"})
    stage.turn()
    assert stage.types()[-5:-2] == ["user.interrupt", "span.outcome_evaluation_end", "T:idle end_turn"]
    assert outcome_of(stage.session()) == ("interrupted", True)
    stage.send(OUTCOME)


def test_an_outcome_ends_with_a_session_that_is_archived(api: Api) -> None:
    stage = Stage(api, say("", use("ask_user")), initial_events=[OUTCOME])
    stage.turn()
    before = stage.log()
    archived = api.post(f"/v1/sessions/{stage.id}/archive").ok()
    assert outcome_of(archived) == outcome_of(stage.session()) == ("interrupted", True)
    assert stage.log() == before  # the list gains nothing
    assert events_of(api, stage)[-2:] == ["session.outcome_evaluation_ended", "session.archived"]
    assert api.post(f"/v1/sessions/{stage.id}/archive").ok() == archived


def test_an_outcome_goes_with_a_session_that_is_deleted(api: Api) -> None:
    stage = Stage(api, fails(), initial_events=[OUTCOME])
    stage.turn()  # it is to be tried again
    api.delete(f"/v1/sessions/{stage.id}").ok()
    api.get(f"/v1/sessions/{stage.id}").refused(404, "not_found_error")
    assert events_of(api, stage)[-1] == "session.deleted"
    api.clock.advance(seconds=120)
    assert stage.turn() == 0


def test_an_outcome_ends_with_a_session_that_is_too_long(api: Api) -> None:
    stage = Stage(api, fails("context_overflow", retry=False), initial_events=[OUTCOME])
    stage.turn()
    assert stage.types()[-3:] == ["span.outcome_evaluation_end", "S:error unknown_error terminal", "S:terminated"]
    assert outcome_of(stage.session()) == ("interrupted", True)


def test_a_thread_shows_what_it_has_used(api: Api) -> None:
    stage = Stage(api, say(), initial_events=[message()])
    [thread] = api.get(f"/v1/sessions/{stage.id}/threads").ok()["data"]
    assert (thread["usage"], thread["stats"]) == (None, None)
    stage.turn()
    [thread] = api.get(f"/v1/sessions/{stage.id}/threads").ok()["data"]
    assert thread["status"] == "idle"
    assert thread["usage"]["output_tokens"] == 10
    assert thread["usage"]["list_cost"] == {"amount": "0", "currency": "USD"}


def test_what_cannot_be_done_yet_is_told_when_a_session_runs(api: Api) -> None:
    servers = [{"type": "url", "name": "crm", "url": "https://crm.example.com/mcp"}]
    stage = Stage(
        api, say(), say(), tools=[{"type": "mcp_toolset", "mcp_server_name": "crm"}], agent={"mcp_servers": servers},
        initial_events=[message()],
        resources=[{"type": "github_repository", "url": "https://github.com/acme/site", "authorization_token": "t"}],
    )  # fmt: skip
    server, site = "S:error mcp_connection_failed_error retrying", "S:error repository_clone_error retrying"
    stage.turn()
    assert stage.types()[:4] == ["S:running", server, site, "T:running"]
    assert stage.log()[1]["error"]["mcp_server_name"] == "crm"
    before = stage.types()
    stage.send(message())
    stage.turn()
    assert stage.types()[len(before) :][:4] == ["S:running", server, "T:running", "user.message"]
    assert stage.types().count(site) == 1


def test_a_budget_pauses_a_session_until_it_is_raised(api: Api) -> None:
    budget = {"type": "limit", "max_list_cost": {"amount": "1", "currency": "USD"}}
    dear = msgspec.structs.replace(say("", use("bash")), usage=ModelUsage(input_tokens=10_000, output_tokens=0))
    stage = Stage(api, dear, say(), budget=budget, initial_events=[message()])
    stage.turn()
    assert stage.types()[-3:] == ["T:idle budget_reached", "S:usage", "S:idle budget_reached"]
    assert stage.session()["usage"]["list_cost"]["amount"] == "4"
    said = api.post(stage.path, {"events": [message()]}).refused(400)
    assert "user.tool_confirmation, user.tool_result, user.custom_tool_result and user.interrupt" in said
    before = stage.types()
    stage.send({"type": "user.interrupt"})
    assert stage.types() == before
    api.post(f"/v1/sessions/{stage.id}", {"budget": None}).ok()
    stage.turn()
    assert stage.types()[len(before) :] == [
        "S:updated", "S:running", "T:running", "span.model_request_start", "agent.message", "span.model_request_end",
        "T:idle end_turn", "S:usage", "S:idle end_turn",
    ]  # fmt: skip


def test_a_self_hosted_session_waits_for_its_worker(api: Api) -> None:
    stage = Stage(api, say("", use("bash")), say(), config={"type": "self_hosted"}, initial_events=[message()])
    stage.turn()
    [call] = stage.calls()
    assert stage.log()[-1]["stop_reason"] == {"type": "requires_action", "event_ids": [call]}
    stage.work(worked(call))
    stage.turn()
    assert stage.bench.ran == []
    assert stage.types()[-1] == "S:idle end_turn"


def test_a_session_counts_its_time_while_it_runs_and_no_more_once_it_has_ended(api: Api, clock: HandClock) -> None:
    stage = Stage(api, fails("context_overflow", retry=False), initial_events=[message()])

    async def seconds() -> list[float]:
        session = (await api.call("GET", f"/v1/sessions/{stage.id}")).ok()
        [thread] = (await api.call("GET", f"/v1/sessions/{stage.id}/threads")).ok()["data"]
        return [shown[part]["active_seconds"] for shown in (session, thread) for part in ("stats", "usage")]

    async def work() -> None:
        [claim] = await api.house.db.write(turns.claim, 1, HOLD, [])
        stage.player.gate = asyncio.Event()
        turn = asyncio.create_task(Turn(stage.parts, claim).run())
        await stage.player.begun.wait()
        clock.advance(seconds=3)
        assert await seconds() == [3.0] * 4
        clock.advance(seconds=4.5)
        assert await seconds() == [7.5] * 4
        stage.player.gate.set()
        await turn
        clock.advance(seconds=60)
        assert await seconds() == pytest.approx([7.5] * 4, abs=1e-4)

    api.run(work())
    session = stage.session()
    [thread] = api.get(f"/v1/sessions/{stage.id}/threads").ok()["data"]
    assert session["status"] == "terminated"
    aged = [
        each["stats"]["duration_seconds"]
        for each in (session, thread, api.post(f"/v1/sessions/{stage.id}/archive").ok())
    ]
    assert aged == pytest.approx([7.5] * 3, abs=1e-4)


def test_a_web_tool_that_an_agent_configures_is_told_to_be_missing(api: Api) -> None:
    configs = [
        {"name": "web_search", "permission_policy": {"type": "always_ask"}},
        {"name": "web_fetch", "enabled": False},
    ]
    stage = Stage(
        api, say("", use("web_search", query="parcels")), say(), tools=[{**TOOLSET, "configs": configs}],
        initial_events=[message()],
    )  # fmt: skip
    stage.turn()
    assert stage.types()[:3] == ["S:running", "S:error unknown_error retrying", "T:running"]
    assert "web_search" in stage.log()[1]["error"]["message"]
    [result] = [event for event in stage.log() if event["type"] == "agent.tool_result"]
    assert result["content"][0]["text"] == "This version of the server does not run web_search."


def test_a_rubric_in_a_file_is_read_to_the_agent(api: Api) -> None:
    rubric = {"type": "file", "file_id": upload(api, b"Every sum adds up.")["id"]}
    stage = Stage(
        api, say(), initial_events=[{"type": "user.define_outcome", "description": "Sums.", "rubric": rubric}]
    )
    stage.turn()
    [task] = stage.player.asked[0].messages[0]["content"]
    assert task["text"].endswith("measured by this rubric:\n\nEvery sum adds up.")


# Being lost


def test_who_was_overtaken_appends_nothing(api: Api, clock: HandClock) -> None:
    stage = Stage(api, say("First."), say("Second."), initial_events=[message()])

    async def work() -> None:
        [late] = await api.house.db.write(turns.claim, 1, HOLD, [])
        stage.player.gate = asyncio.Event()
        zombie = asyncio.create_task(Turn(stage.parts, late).run())
        await stage.player.begun.wait()
        clock.advance(seconds=31)
        [claim] = await api.house.db.write(turns.claim, 1, HOLD, [])
        assert claim.epoch == late.epoch + 1
        gate, stage.player.gate = stage.player.gate, None
        await Turn(stage.parts, claim).run()
        before = (await api.call("GET", stage.path)).ok()
        assert await api.house.db.write(turns.renew, [late], HOLD) == [stage.id]
        gate.set()
        with pytest.raises(Fenced):
            await zombie
        assert (await api.call("GET", stage.path)).ok() == before

    api.run(work())
    said = [event["content"][0]["text"] for event in stage.log() if event["type"] == "agent.message"]
    assert said == ["Second."]


def test_a_session_that_is_gone_or_closed_is_nobodys(api: Api) -> None:
    stage = Stage(api, fails(), initial_events=[message()])
    stage.turn()
    api.delete(f"/v1/sessions/{stage.id}").ok()
    assert stage.turn() == 0
