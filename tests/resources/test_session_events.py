"""A session's log: what clients may send, when, and how it is listed (contract, sessions: events)."""

from typing import Any, get_args

import msgspec
import pytest

from rota.base.clock import HandClock
from rota.base.errors import InvalidRequest
from rota.resources.sessions import log
from rota.resources.sessions.events import ToolResult
from rota.resources.sessions.wire import EventType, SendEvents
from rota.store.tx import Query, Tx
from tests.api import HELLO, Api
from tests.files import upload

MESSAGE = HELLO[0]
TEXT = {"type": "text", "text": "fine"}
OUTCOME = {"type": "user.define_outcome", "description": "Done.", "rubric": {"type": "text", "content": "All green."}}
SYSTEM = {"type": "system.message", "content": [TEXT]}
INTERRUPT = {"type": "user.interrupt"}
SET_STATUS = Query("What a turn would leave.", "UPDATE sessions SET status = :status WHERE id = :id")


class Talk:
    """A session and its events."""

    def __init__(self, api: Api, **fields: Any) -> None:
        self.api = api
        body = {"agent": api.agent()["id"], "environment_id": api.environment()["id"], **fields}
        self.id: str = api.post("/v1/sessions", body).ok()["id"]
        self.path = f"/v1/sessions/{self.id}/events"

    def send(self, *events: Any) -> list[dict[str, Any]]:
        """The events that were accepted, as they were answered."""
        answer = self.api.post(self.path, {"events": list(events)}).ok()
        assert set(answer) == {"data"}
        return answer["data"]

    def refuse(self, *events: Any, status: int = 400, kind: str = "invalid_request_error") -> str:
        """The message of a refusal, after which nothing has changed."""
        before = self.log(), self.status()
        response = self.api.post(self.path, {"events": list(events)})
        message = response.refused(status, kind)
        assert response.headers["x-should-retry"] == "false"
        assert (self.log(), self.status()) == before
        return message

    def log(self, **query: Any) -> list[dict[str, Any]]:
        return self.api.get(self.path, query=query).ok()["data"]

    def status(self) -> str:
        return self.api.get(f"/v1/sessions/{self.id}").ok()["status"]

    def rest(self, status: str = "idle") -> None:
        """Leave the session as a turn would."""
        self.api.write(lambda tx: tx.run(SET_STATUS, id=self.id, status=status))

    def calls(self, kind: str = "agent.custom_tool_use", body: str = '{"name":"ask","input":{}}') -> str:
        """Let the agent call a tool; the call's id."""

        def append(tx: Tx) -> str:
            [row] = log.append(tx, self.id, [(kind, body)])
            return row[2]

        return self.api.write(append)


ASKING = '{"name":"bash","input":{},"evaluated_permission":"ask"}'
ALLOWED = '{"name":"bash","input":{},"evaluated_permission":"allow"}'


def confirm(call: str, **more: Any) -> dict[str, Any]:
    return {"type": "user.tool_confirmation", "tool_use_id": call, "result": "allow", **more}


def answer(call: str, **more: Any) -> dict[str, Any]:
    return {"type": "user.custom_tool_result", "custom_tool_use_id": call, **more}


# What comes back


def test_what_is_accepted_is_echoed_in_order_with_ids(api: Api) -> None:
    talk = Talk(api)
    sent = [MESSAGE, OUTCOME, MESSAGE, SYSTEM]
    echoed = talk.send(*sent)
    assert [event["type"] for event in echoed] == [event["type"] for event in sent]
    assert all(event["id"].startswith("sevt_01") for event in echoed)
    assert len({event["id"] for event in echoed}) == 4
    assert [event["processed_at"] is None for event in echoed] == [True, False, True, True]
    assert talk.log() == echoed
    assert talk.send(MESSAGE) + echoed == talk.log()[-1:] + talk.log()[:-1]


def test_every_field_of_every_client_event_comes_back(still_api: Api) -> None:
    talk = Talk(still_api)
    file_id = upload(still_api)["id"]
    blocks: list[dict[str, Any]] = [
        TEXT,
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": file_id}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "d"},
            "title": "T",
            "context": "C",
        },
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}, "title": None},
        {"type": "document", "source": {"type": "file", "file_id": file_id}},
    ]
    found = {"type": "search_result", "source": "s", "title": "t", "content": [TEXT], "citations": {"enabled": True}}
    call = talk.calls()
    for event in (
        {"type": "user.message", "content": blocks},
        {"type": "user.custom_tool_result", "custom_tool_use_id": call, "content": [*blocks, found], "is_error": True},
        {"type": "system.message", "content": [TEXT, TEXT]},
    ):
        [echoed] = talk.send(event)
        assert {key: value for key, value in echoed.items() if key not in ("id", "processed_at")} == event
    [outcome] = talk.send({**OUTCOME, "max_iterations": 20, "rubric": {"type": "file", "file_id": file_id}})
    assert (outcome["max_iterations"], outcome["rubric"]) == (20, {"type": "file", "file_id": file_id})


def test_a_file_that_an_event_names_must_be_there(still_api: Api) -> None:
    talk = Talk(still_api)
    here = {"type": "document", "source": {"type": "file", "file_id": upload(still_api)["id"]}}
    gone = {"type": "file", "file_id": "file_01gone"}
    call = talk.calls()
    for event in (
        {"type": "user.message", "content": [here, {"type": "image", "source": gone}]},
        {**OUTCOME, "rubric": gone},
        answer(call, content=[{"type": "document", "source": gone}]),
    ):
        assert talk.refuse(MESSAGE, event).endswith("exists and is accessible: file_01gone")
    body = {"agent": still_api.agent()["id"], "environment_id": still_api.environment()["id"]}
    refused = still_api.post("/v1/sessions", {**body, "initial_events": [{**OUTCOME, "rubric": gone}]})
    assert refused.refused(400).endswith("file_01gone")


def test_an_outcome_is_given_an_id_and_three_iterations(still_api: Api) -> None:
    for more in ({}, {"max_iterations": None}):
        [outcome] = Talk(still_api).send({**OUTCOME, **more})
        assert outcome["outcome_id"].startswith("outc_01")
        assert outcome["max_iterations"] == 3
        assert outcome["processed_at"] is not None  # the clients' types want it, though it waits


@pytest.mark.parametrize(
    "event",
    [
        {"type": "user.message"},
        {"type": "user.message", "content": "text"},
        {"type": "user.message", "content": []},
        {"type": "user.message", "content": [{"type": "text"}]},
        {"type": "user.message", "content": [{"type": "text", "text": None}]},
        {"type": "user.message", "content": [{"type": "redacted"}]},
        {"type": "user.message", "content": [{"type": "search_result", "source": "s", "title": "t", "content": [TEXT], "citations": {"enabled": True}}]},
        {"type": "user.message", "content": [{"type": "image", "source": {"type": "text", "media_type": "text/plain", "data": "d"}}]},
        {"type": "user.message", "content": [{"type": "document", "source": {"type": "text", "media_type": "text/html", "data": "d"}}]},
        {"type": "user.message", "content": [TEXT], "surprise": 1},
        {"type": "user.define_outcome", "description": "d"},
        {**OUTCOME, "description": ""},
        {**OUTCOME, "rubric": {"type": "text", "content": ""}},
        {**OUTCOME, "rubric": {"type": "text", "content": "r" * 262_145}},
        {**OUTCOME, "max_iterations": 0},
        {**OUTCOME, "max_iterations": 21},
        {"type": "system.message", "content": []},
        {"type": "system.message", "content": [{"text": "untyped"}]},
        {"type": "user.message", "content": [{"text": "untyped"}]},
        {"type": "system.message", "content": [TEXT] * 1001},
        {"type": "system.message", "content": [{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]},
        {"type": "system.message", "content": [{"type": "text", "text": ""}]},
        {"type": "user.tool_confirmation", "tool_use_id": "x"},
        {"type": "user.tool_confirmation", "tool_use_id": "x", "result": "perhaps"},
        {"type": "user.custom_tool_result"},
        {"type": "session.status_idle"},
        {},
        None,
        "user.message",
    ],
)  # fmt: skip
def test_a_malformed_event_is_400_and_spoils_the_whole_request(still_api: Api, event: Any) -> None:
    talk = Talk(still_api)
    talk.refuse(event)
    talk.refuse(MESSAGE, event)


def test_the_largest_of_everything_is_accepted(still_api: Api) -> None:
    talk = Talk(still_api)
    talk.send({**OUTCOME, "rubric": {"type": "text", "content": "ü" * 262_144}})
    talk.send(MESSAGE, {"type": "system.message", "content": [TEXT] * 1000})
    document = {"type": "document", "source": {"type": "file", "file_id": upload(still_api)["id"]}}
    assert len(talk.send({"type": "user.message", "content": [document] * 100})) == 1
    assert "100" in talk.refuse(
        {"type": "user.message", "content": [document] * 60}, {"type": "user.message", "content": [document] * 41}
    )


def test_a_request_sends_a_thousand_events_at_most(still_api: Api) -> None:
    talk = Talk(still_api)
    assert len(talk.send(*[INTERRUPT] * 1000)) == 1000
    assert talk.refuse(*[INTERRUPT] * 1001) == "events: value must contain no more than 1000 item(s)"


def test_a_clients_own_id_and_time_are_refused_like_any_unknown_field(still_api: Api) -> None:
    talk = Talk(still_api)
    for field, value in (("id", "sevt_mine"), ("processed_at", None)):
        assert talk.refuse({**MESSAGE, field: value}) == f'Failed to parse request body: unknown field "{field}"'


# Order among events


@pytest.mark.parametrize(
    "events",
    [
        [SYSTEM, MESSAGE],
        [MESSAGE, SYSTEM, MESSAGE],
        [MESSAGE, SYSTEM, SYSTEM],
        [OUTCOME, SYSTEM],
        [MESSAGE, INTERRUPT, SYSTEM],
    ],
)
def test_a_system_message_comes_last_and_right_after_what_it_goes_with(still_api: Api, events: list[Any]) -> None:
    assert "`system.message`" in Talk(still_api).refuse(*events)


def test_a_system_message_may_come_alone_and_wakes_nobody(still_api: Api) -> None:
    talk = Talk(still_api)
    talk.send(SYSTEM)
    assert talk.status() == "idle"


def test_while_an_action_is_required_a_system_message_goes_with_a_result(still_api: Api) -> None:
    talk = Talk(still_api)
    first, second = talk.calls(), talk.calls()
    for events in ([SYSTEM], [MESSAGE, SYSTEM], [answer(first), MESSAGE, SYSTEM]):
        assert "must directly follow a tool result" in talk.refuse(*events)
    talk.send(answer(first), SYSTEM)
    talk.send(MESSAGE)
    talk.send(answer(second), SYSTEM)


@pytest.mark.parametrize("events", [[MESSAGE], [OUTCOME], [MESSAGE, SYSTEM], [INTERRUPT, MESSAGE]])
def test_what_asks_for_work_sets_an_idle_session_running(api: Api, clock: HandClock, events: list[Any]) -> None:
    talk = Talk(api)
    clock.advance(seconds=5)
    talk.send(*events)
    session = api.get(f"/v1/sessions/{talk.id}").ok()
    assert session["status"] == "running"
    assert session["updated_at"] == "2026-03-02T12:00:05Z"


def test_a_running_session_takes_more_and_keeps_it_in_order(api: Api) -> None:
    talk = Talk(api, initial_events=HELLO)
    sent = [{"type": "user.message", "content": [{"type": "text", "text": str(number)}]} for number in range(12)]
    for start in range(0, 12, 3):
        talk.send(*sent[start : start + 3])
    api.gather([api.call("POST", talk.path, {"events": [MESSAGE, MESSAGE]}) for _ in range(5)])
    events = talk.log()
    assert [event["content"] for event in events[1:13]] == [event["content"] for event in sent]
    assert len(events) == 23
    assert all(event["processed_at"] is None for event in events)
    assert talk.log(order="desc") == events[::-1]


def test_an_interrupt_waits_while_there_is_something_to_interrupt(still_api: Api) -> None:
    idle = Talk(still_api)
    assert idle.send(INTERRUPT)[0]["processed_at"] is not None
    assert idle.status() == "idle"
    busy = Talk(still_api, initial_events=HELLO)
    assert busy.send(INTERRUPT)[0]["processed_at"] is None
    assert busy.status() == "running"


def test_an_interrupt_names_a_thread_of_its_own_session(still_api: Api) -> None:
    talk, other = Talk(still_api), Talk(still_api)
    [own] = still_api.get(f"/v1/sessions/{talk.id}/threads").ok()["data"]
    [foreign] = still_api.get(f"/v1/sessions/{other.id}/threads").ok()["data"]
    assert talk.send({**INTERRUPT, "session_thread_id": own["id"]})
    assert talk.send({**INTERRUPT, "session_thread_id": None})
    for bad in ("nonsense", "", "sesn_01x"):
        assert talk.refuse({**INTERRUPT, "session_thread_id": bad}) == f"Invalid session_thread_id: {bad}"
    said = talk.refuse({**INTERRUPT, "session_thread_id": foreign["id"]}, status=404, kind="not_found_error")
    assert said == f"Thread not found: {foreign['id']}"


# Answers


def test_an_answer_that_is_in_order_is_taken_up_on_receipt(api: Api) -> None:
    talk = Talk(api)
    [result] = talk.send(answer(talk.calls(), content=[TEXT]))
    assert result["processed_at"] is not None
    assert talk.status() == "running"
    first, second = talk.calls("agent.tool_use", ASKING), talk.calls("agent.tool_use", ASKING)
    [early] = talk.send(confirm(second))
    assert early["processed_at"] is None
    [confirmation] = talk.send(confirm(first))
    assert confirmation["processed_at"] is not None
    assert [event["id"] for event in talk.log()][-1] == early["id"]


def test_a_result_waits_for_those_of_earlier_calls(api: Api) -> None:
    talk = Talk(api)
    calls = [talk.calls() for _ in range(3)]
    sent = talk.send(answer(calls[1]), answer(calls[0]), answer(calls[2]))
    assert [event["processed_at"] is None for event in sent] == [True, False, True]
    assert [event["custom_tool_use_id"] for event in talk.log()[3:]] == [calls[0], calls[1], calls[2]]
    assert "already been answered" in talk.refuse(answer(calls[2]))


@pytest.mark.parametrize(
    ("kind", "body", "event"),
    [
        ("agent.tool_use", ASKING, confirm("{}")),
        ("agent.tool_use", ASKING, confirm("{}", result="deny", deny_message="Not today.")),
        (
            "agent.mcp_tool_use",
            '{"mcp_server_name":"m","name":"n","input":{},"evaluated_permission":"ask"}',
            confirm("{}"),
        ),
        ("agent.custom_tool_use", '{"name":"ask","input":{}}', answer("{}")),
    ],
)
def test_a_call_is_answered_once_and_in_its_own_way(api: Api, kind: str, body: str, event: dict[str, Any]) -> None:
    talk = Talk(api)
    call = talk.calls(kind, body)
    field = "custom_tool_use_id" if "custom_tool_use_id" in event else "tool_use_id"
    event = {**event, field: call}
    talk.refuse(event, event)
    assert talk.send(event)[0][field] == call
    assert call in talk.refuse(event)
    talk.refuse(answer(call) if field == "tool_use_id" else confirm(call))


def test_what_did_not_ask_cannot_be_confirmed(still_api: Api) -> None:
    talk = Talk(still_api)
    for body in (ALLOWED, ALLOWED.replace("allow", "deny"), '{"name":"bash","input":{}}'):
        talk.refuse(confirm(talk.calls("agent.tool_use", body)))


def test_a_reason_goes_with_a_denial_only(still_api: Api) -> None:
    talk = Talk(still_api)
    call = talk.calls("agent.tool_use", ASKING)
    assert "deny_message" in talk.refuse(confirm(call, deny_message="Why not?"))
    assert talk.send(confirm(call, result="deny", deny_message=None))


def test_an_answer_to_nothing_or_to_another_sessions_call_is_400(still_api: Api) -> None:
    talk, other = Talk(still_api), Talk(still_api)
    message = talk.send(MESSAGE)[0]["id"]
    for target in ("sevt_01nothing", "toolu_01x", "", message, other.calls()):
        talk.refuse(answer(target))
        talk.refuse(confirm(target))


def test_an_answer_is_routed_by_its_call_whatever_thread_it_names(still_api: Api) -> None:
    talk = Talk(still_api)
    childs = ASKING[:-1] + ',"session_thread_id":"sthr_01child"}'
    for named in (
        {},
        {"session_thread_id": None},
        {"session_thread_id": "nonsense"},
        {"session_thread_id": "sthr_01other"},
    ):
        [event] = talk.send(confirm(talk.calls("agent.tool_use", ASKING), **named))
        assert "session_thread_id" not in event  # the call was the primary thread's
        [event] = talk.send(confirm(talk.calls("agent.tool_use", childs), **named))
        assert event["session_thread_id"] == "sthr_01child"


def test_a_call_that_was_confirmed_still_waits_for_its_result(still_api: Api) -> None:
    talk = Talk(still_api)
    call = talk.calls("agent.tool_use", ASKING)
    talk.send(confirm(call))
    worker = msgspec.structs.replace(still_api.who, scope="environment")
    result = SendEvents(events=[ToolResult(tool_use_id=call)])
    assert len(still_api.write(log.send, worker, talk.id, result).data) == 1
    with pytest.raises(InvalidRequest, match="already been answered"):
        still_api.write(log.send, worker, talk.id, result)


def test_a_built_in_tools_result_needs_a_workers_credential(still_api: Api) -> None:
    talk = Talk(still_api)
    call = talk.calls("agent.tool_use", ALLOWED)
    said = talk.refuse({"type": "user.tool_result", "tool_use_id": call}, status=403, kind="permission_error")
    assert said.startswith("events[0]: `user.tool_result` may only be sent with environment credentials")


# When nothing is taken


def test_a_terminated_session_takes_nothing(still_api: Api) -> None:
    talk = Talk(still_api)
    talk.rest("terminated")
    assert talk.refuse(MESSAGE) == f"Cannot send events to archived session: {talk.id}"
    still_api.post(talk.path.replace(talk.id, "sesn_01x"), {"events": [MESSAGE]}).refused(404, "not_found_error")


@pytest.mark.parametrize(
    "body", [{}, {"events": []}, {"events": None}, {"events": {}}, {"events": [MESSAGE], "more": 1}]
)
def test_a_request_is_a_list_of_events(still_api: Api, body: Any) -> None:
    still_api.post(Talk(still_api).path, body).refused(400)


def test_a_resting_session_takes_what_comes_and_runs_again(api: Api) -> None:
    talk = Talk(api, initial_events=HELLO)
    for status in ("idle", "rescheduling"):
        talk.rest(status)
        talk.send(MESSAGE)
        assert talk.status() in ("running", "rescheduling")


# Listing


def test_the_filter_knows_every_type_that_can_be_listed(still_api: Api) -> None:
    talk = Talk(still_api, initial_events=HELLO)
    for kind in get_args(EventType):
        assert len(talk.log(**{"types[]": kind})) == (kind == "user.message")
    assert len(talk.log(**{"types[]": ["user.message", "agent.message"]})) == 1
    for kind in ("session.deleted", "event_start", "event_delta", "user.shouts", ""):
        still_api.get(talk.path, query={"types[]": kind}).refused(400)


def test_time_filters_look_at_when_an_event_was_taken_up(api: Api, clock: HandClock) -> None:
    talk = Talk(api)
    moments: list[str] = []
    for _ in range(3):
        clock.advance(seconds=1.5)
        moments.append(talk.send(INTERRUPT)[0]["processed_at"])
    talk.send(MESSAGE)

    def count(bound: str, moment: str) -> int:
        return len(talk.log(**{f"created_at[{bound}]": moment}))

    assert [count(bound, moments[1]) for bound in ("gt", "gte", "lt", "lte")] == [1, 2, 1, 2]
    assert moments == ["2026-03-02T12:00:01.500000Z", "2026-03-02T12:00:03Z", "2026-03-02T12:00:04.500000Z"]


def test_the_older_prefix_is_understood_on_every_route(still_api: Api) -> None:
    talk = Talk(still_api)
    [thread] = still_api.get(f"/v1/sessions/{talk.id}/threads").ok()["data"]
    older = "/v1/sessions/" + talk.id.replace("sesn_", "session_")
    assert still_api.post(f"{older}/events", {"events": [INTERRUPT]}).ok()["data"] == talk.log()
    for more in ("/events", "/threads", "/resources", f"/threads/{thread['id']}", f"/threads/{thread['id']}/events"):
        assert still_api.get(older + more).ok() == still_api.get(f"/v1/sessions/{talk.id}{more}").ok()
    assert still_api.post(older, {"title": "t"}).ok()["id"] == talk.id
    assert still_api.post(f"{older}/archive").ok()["id"] == talk.id
    assert still_api.delete(older).ok()["id"] == talk.id
