"""The Messages API as a provider: what is sent, what is made of what comes, what each failure means."""

import asyncio
import json
from typing import Any

import pytest

from rota.runtime.provider import ModelRequest, ModelUsage, ProviderFailure, Reply, TextDelta, ThinkingBegan
from tests.runtime.providers.endpoint import (
    KEY,
    STREAM,
    Answer,
    Asked,
    block,
    breaks_off,
    chunk,
    end,
    endpoint,
    event,
    head,
    refuses,
    start,
    streams,
    whole,
)
from tests.runtime.providers.talk import BASH, pieces, question, text, user

HELLO = question(user("Hello."))
WELL = whole(text("Hello to you."))


def outcome(*answers: Answer, request: ModelRequest = HELLO, **settings: Any) -> tuple[Any, list[Asked]]:
    """The reply, or the failure, that these answers come to; and what was asked."""

    async def run() -> tuple[Any, list[Asked]]:
        async with endpoint(*answers, **settings) as place:
            try:
                return (await pieces(place.provider, request))[-1], place.asked
            except ProviderFailure as failure:
                return failure, place.asked

    return asyncio.run(run())


def heard(data: bytes) -> Reply:
    reply, _ = outcome(streams(data))
    assert isinstance(reply, Reply), reply
    return reply


# What is sent


def test_a_request_is_a_streaming_one_with_the_key_and_what_the_agent_says() -> None:
    request = question(user("Hello."), system=[text("Be kind.")], tools=[BASH], effort="low", speed="fast")
    _, [asked] = outcome(streams(WELL), request=request)
    assert asked.head.startswith("POST /v1/messages HTTP/1.1")
    assert asked.header("authorization") == f"Bearer {KEY}"
    assert asked.header("x-api-key") == KEY
    assert asked.header("anthropic-version")
    assert asked.header("anthropic-beta") == "fast-mode-2026-02-01"
    cached = {"cache_control": {"type": "ephemeral"}}
    assert asked.body == {
        "model": "claude-test-1",
        "max_tokens": 16384,
        "stream": True,
        "system": [text("Be kind.") | cached],
        "tools": [BASH | cached],
        "messages": [{"role": "user", "content": [text("Hello.") | cached]}],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low"},
        "speed": "fast",
    }


def test_what_models_do_anyhow_is_not_said() -> None:
    _, [asked] = outcome(streams(WELL), request=question(user("Hello."), effort="high", speed="standard", max_tokens=7))
    assert set(asked.body) == {"model", "max_tokens", "messages", "stream", "thinking"}
    assert asked.body["max_tokens"] == 7
    assert asked.header("anthropic-beta") is None


def test_an_endpoint_without_a_key_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-somebody-elses")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "somebody-elses")
    _, [asked] = outcome(streams(WELL), key=None)
    assert asked.header("authorization") is None
    assert asked.header("x-api-key") is None


def test_a_base_url_may_name_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> str:
        async with endpoint(streams(WELL)) as place:
            async with endpoint(model_base_url=f"http://127.0.0.1:{place.port}/v1/") as other:
                await pieces(other.provider, HELLO)
            return place.asked[0].head

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # is for other machines than this one
    assert asyncio.run(run()).startswith("POST /v1/messages ")


# What comes


def test_a_reply_is_put_together_block_by_block() -> None:
    content = [
        {"type": "thinking", "thinking": "They greet me.", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"},
        {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"},
        text("Grüße, 世界! 🦜 and more of it"),
        {"type": "tool_use", "id": "toolu_01", "name": "bash", "input": {"command": "echo 'ü'", "n": [1, None]}},
        {"type": "tool_use", "id": "toolu_02", "name": "bash", "input": {}},
    ]
    found, _ = outcome(streams(whole(*content, stop_reason="tool_use")))
    assert found.content == content
    assert found.stop_reason == "tool_use"
    assert found.request_id == "req_011"


def test_the_pieces_come_in_order_while_the_stream_goes_on() -> None:
    async def run() -> None:
        go_on = asyncio.Event()

        async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
            first = event("content_block_start", index=1, content_block={"type": "text", "text": "He"})
            thought = block(0, {"type": "thinking", "thinking": "", "signature": "x"})
            writer.write(STREAM + chunk(start() + thought + first))
            await writer.drain()
            await go_on.wait()
            rest = event("content_block_delta", index=1, delta={"type": "text_delta", "text": "llo"})
            writer.write(chunk(rest + event("content_block_stop", index=1) + end()) + b"0\r\n\r\n")

        async with endpoint(answer) as place:
            asking = place.provider.ask(HELLO)
            assert await anext(asking) == ThinkingBegan(0)
            assert await anext(asking) == TextDelta(1, "He")
            go_on.set()
            assert await anext(asking) == TextDelta(1, "llo")
            reply = await anext(asking)
            assert isinstance(reply, Reply)
            assert reply.content[1] == text("Hello")
            assert [piece async for piece in asking] == []

    asyncio.run(run())


def test_a_text_that_stayed_empty_is_left_out_and_places_follow() -> None:
    reply = heard(whole(text(""), {"type": "tool_use", "id": "toolu_01", "name": "bash", "input": {"a": 1}}, text("x")))
    assert [each["type"] for each in reply.content] == ["tool_use", "text"]
    assert heard(whole()).content == []


@pytest.mark.parametrize(
    "stop_reason",
    ["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "model_context_window_exceeded", "news"],
)
def test_every_stop_reason_is_passed_on(stop_reason: str) -> None:
    assert heard(whole(text("x"), stop_reason=stop_reason)).stop_reason == stop_reason


def test_a_refusal_has_its_details() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    reply = heard(start() + end("refusal", stop_details=details))
    assert (reply.content, reply.stop_reason, reply.stop_details) == ([], "refusal", details)


def test_a_call_that_was_cut_off_has_no_arguments() -> None:
    began = {"type": "tool_use", "id": "toolu_01", "name": "write", "input": {}}
    part = event(
        "content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"file_path": "/a'}
    )
    reply = heard(start() + event("content_block_start", index=0, content_block=began) + part + end("max_tokens"))
    assert reply.content == [began]


def test_usage_is_what_the_last_word_on_each_count_says() -> None:
    first = start(cache_creation_input_tokens=7, cache_read_input_tokens=None, speed="fast")
    reply = heard(first + end(cache_read_input_tokens=9, input_tokens=26, server_tool_use={"web_search_requests": 2}))
    assert reply.usage == ModelUsage(
        input_tokens=26,
        output_tokens=15,
        cache_creation_input_tokens=7,
        cache_read_input_tokens=9,
        web_search_requests=2,
        speed="fast",
    )


def test_what_nobody_here_knows_is_kept_or_passed_over() -> None:
    result = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_01",
        "content": [{"type": "web_search_result"}],
    }
    search = {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {"query": "rota"}}
    cited = {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "x"}}
    news = event("content_block_delta", index=2, delta={"type": "news_delta", "news": 1}) + event("news_event", x=1)
    began = event("content_block_start", index=2, content_block={"type": "text", "text": "x"})
    citation = event("content_block_delta", index=2, delta=cited)
    reply = heard(start() + block(0, search) + block(1, result) + began + citation + news + end())
    assert reply.content == [search, result, {"type": "text", "text": "x", "citations": [cited["citation"]]}]


# Failures


TOO_LONG = [
    "prompt is too long: 207791 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000",
    "This model's maximum context length is 131072 tokens. However, you requested 131134 tokens",
    "the request exceeds the available context size (8192 tokens), try increasing it",
    "Input is too long for requested model.",
]


@pytest.mark.parametrize(
    ("answer", "kind", "retry", "says"),
    [
        (refuses(529, "overloaded_error", "Overloaded"), "overloaded", True, "overloaded"),
        (refuses(503, body="<html>busy</html>"), "overloaded", True, "503"),
        (refuses(429, "rate_limit_error", "slow down"), "rate_limited", True, "429"),
        (refuses(500, "api_error", "at http://10.0.0.7/x"), "request_failed", True, "500"),
        (refuses(502, body="<html>"), "request_failed", True, "502"),
        (refuses(504, "timeout_error"), "request_failed", True, "504"),
        (refuses(500, x_should_retry="false"), "request_failed", False, "500"),
        (refuses(402, "billing_error"), "billing", False, "pay"),
        (refuses(400, "invalid_request_error", "Your credit balance is too low"), "billing", False, "pay"),
        (refuses(403, "permission_error", "Enforced spend limit reached"), "billing", False, "pay"),
        (refuses(401, "authentication_error", f"bad key {KEY}"), "request_failed", False, "whoever runs"),
        (refuses(403, "permission_error", "not your model"), "request_failed", False, "not your model"),
        (refuses(404, "not_found_error", "model: claude-test-1"), "request_failed", False, "claude-test-1"),
        (refuses(400, "invalid_request_error", "messages.1: what?"), "request_failed", False, "messages.1: what?"),
        (refuses(422, body={"detail": [{"loc": ["body", "messages"]}]}), "request_failed", False, "messages"),
        (refuses(413, "request_too_large", "too large"), "context_overflow", False, "too long"),
        (refuses(307, location="http://127.0.0.1:9/"), "request_failed", False, "redirect"),
        *((refuses(400, "invalid_request_error", said), "context_overflow", False, "too long") for said in TOO_LONG),
        (refuses(400, body={"error": {"code": 400, "message": TOO_LONG[3]}}), "context_overflow", False, "too long"),
        (streams(start() + event("error", error={"type": "overloaded_error", "message": "Overloaded"})), "overloaded", True, "overloaded"),
        (streams(start() + event("error", error={"type": "rate_limit_error", "message": ""})), "rate_limited", True, "rate"),
        (streams(start() + event("error", error={"type": "api_error", "message": "oops"})), "request_failed", True, "500"),
        (streams(start() + event("error", error={"type": "invalid_request_error", "message": "odd"})), "request_failed", False, "odd"),
        (streams(start() + event("error")), "request_failed", True, "500"),
        (streams(start() + block(0, text("Hel"))), "request_failed", True, "broke off"),
        (breaks_off(start() + block(0, text("Hel"))), "request_failed", True, "broke off"),
        (streams(b""), "request_failed", True, "broke off"),
        (streams(start() + b"event: message_delta\ndata: {oops\n\n"), "request_failed", True, "form"),
        (streams(start() + event("content_block_delta", index=7, delta={"type": "text_delta", "text": "x"})), "request_failed", True, "form"),
        (streams(event("message_start")), "request_failed", True, "form"),
    ],
)  # fmt: skip
def test_a_failure_is_one_of_a_few_kinds_and_says_what_to_do(answer: Answer, kind: str, retry: bool, says: str) -> None:
    failure, asked = outcome(answer)
    assert isinstance(failure, ProviderFailure), failure
    assert (failure.kind, failure.retry) == (kind, retry), failure
    assert says in failure.message.lower()
    assert len(asked) == 1, "a provider does not retry"
    assert KEY not in failure.message
    assert "10.0.0.7" not in failure.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "9", "retry_after_ms": "250"}, 0.25),
        ({"retry_after": "Sat, 28 Nov 2026 04:30:30 GMT", "date": "Sat, 28 Nov 2026 04:30:00 GMT"}, 30.0),
        ({"retry_after": "Sat, 28 Nov 2026 04:30:30 GMT"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-1"}, None),
        ({}, None),
    ],
)
def test_the_endpoint_s_word_on_when_to_ask_again_is_passed_on(headers: dict[str, str], seconds: float | None) -> None:
    failure, _ = outcome(refuses(429, "rate_limit_error", **headers))
    assert failure.retry_after == seconds


def test_an_endpoint_that_is_not_there_can_be_asked_again() -> None:
    failure, _ = outcome(model_base_url="http://127.0.0.1:9")
    assert (failure.kind, failure.retry) == ("request_failed", True)
    assert "reached" in failure.message
    assert "127.0.0.1" not in failure.message


def test_an_endpoint_that_says_nothing_is_given_up() -> None:
    async def silent(_asked: Asked, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def falls_silent(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + chunk(start() + block(0, text("Hel"))))
        await writer.drain()
        await asyncio.Event().wait()

    for answer in (silent, falls_silent):
        failure, _ = outcome(answer, model_silence_seconds=1)
        assert (failure.kind, failure.retry) == ("request_failed", True)
        assert "in time" in failure.message


def test_pieces_that_came_before_a_failure_were_passed_on() -> None:
    async def run() -> None:
        async with endpoint(breaks_off(start() + block(0, text("Hel")))) as place:
            asking = place.provider.ask(HELLO)
            assert await anext(asking) == TextDelta(0, "Hel")
            with pytest.raises(ProviderFailure):
                await anext(asking)

    asyncio.run(run())


def test_no_failure_and_no_log_line_holds_the_key(capsys: pytest.CaptureFixture[str]) -> None:
    spiteful = json.dumps({"error": {"type": "invalid_request_error", "message": f"no: {KEY}, Bearer {KEY}"}})
    for answer in (
        refuses(400, body=spiteful),
        refuses(500, body=KEY),
        streams(f"event: error\ndata: {KEY}\n\n".encode()),
    ):
        failure, _ = outcome(answer)
        assert KEY not in repr(failure)
        assert failure.__cause__ is None
    said = capsys.readouterr()
    assert "a model gave no reply" in said.out + said.err
    assert KEY not in said.out + said.err


# What an endpoint does not take


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        ("adaptive thinking is not supported on this model", {"thinking"}),
        ("Only 'enabled' and 'disabled' are supported for thinking; 'adaptive' is not supported.", {"thinking"}),
        ("This model does not support the effort parameter.", {"output_config"}),
        (
            "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.",
            {"output_config"},
        ),
        (
            "output_config: Extra inputs are not permitted; speed: Extra inputs are not permitted",
            {"output_config", "speed"},
        ),
    ],
)
def test_an_endpoint_that_refuses_a_newer_parameter_is_asked_without_it(said: str, gone: set[str]) -> None:
    async def run() -> None:
        request = question(user("Hello."), effort="xhigh", speed="fast")
        async with endpoint(refuses(400, "invalid_request_error", said), streams(WELL)) as place:
            for _ in range(2):
                await pieces(place.provider, request)
            first, second, third = (set(asked.body) for asked in place.asked)
            assert first - second == gone
            assert third == second, "it is not asked with it again"
            await pieces(place.provider, question(user("Hello."), effort="xhigh", speed="fast", model="another"))
            assert set(place.asked[3].body) == first, "another model may take it"

    asyncio.run(run())


def test_parameters_are_left_out_one_after_another() -> None:
    refusals = [refuses(400, message="thinking: no"), refuses(422, body={"detail": "cache_control?"})]
    reply, asked = outcome(*refusals, streams(WELL))
    assert isinstance(reply, Reply)
    assert "thinking" not in asked[1].body
    assert "cache_control" in str(asked[1].body)
    assert "cache_control" not in str(asked[2].body)


def test_what_is_refused_without_them_too_is_refused() -> None:
    failure, asked = outcome(refuses(400, message="thinking: bad weather"))
    assert isinstance(failure, ProviderFailure)
    assert "bad weather" in failure.message
    assert len(asked) == 2


def test_thoughts_of_another_model_are_left_out_if_this_one_refuses_them() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "another's"}
    request = question(user("a"), {"role": "assistant", "content": [thought, text("b")]}, user("c"))
    said = "messages.1.content.0: Invalid `signature` in `thinking` block"
    reply, asked = outcome(refuses(400, message=said), streams(WELL), request=request)
    assert isinstance(reply, Reply)
    assert thought in asked[0].body["messages"][1]["content"]
    assert [each["type"] for each in asked[1].body["messages"][1]["content"]] == ["text"]
    assert "thinking" in asked[1].body


def test_thoughts_of_the_scripted_model_are_shown_to_nobody() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "scripted:0123"}
    request = question(user("a"), {"role": "assistant", "content": [thought]}, user("b"))
    _, [asked] = outcome(streams(WELL), request=request)
    assert [message["role"] for message in asked.body["messages"]] == ["user", "user"]


# Giving up


def test_giving_a_question_up_closes_its_connection() -> None:
    async def run(give_up: str) -> None:
        gone = asyncio.Event()

        async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM + chunk(start() + block(0, text("Hel"))))
            await writer.drain()
            try:
                while True:  # ends when the other side has closed
                    writer.write(chunk(event("ping")))
                    await writer.drain()
                    await asyncio.sleep(0)
            except OSError:
                gone.set()

        async with endpoint(answer) as place:
            asking = place.provider.ask(HELLO)
            assert await anext(asking) == TextDelta(0, "Hel")
            if give_up == "closing":
                await asking.aclose()
            else:
                more = asyncio.ensure_future(anext(asking))
                await asyncio.sleep(0)
                more.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await more
            await asyncio.wait_for(gone.wait(), 10)

    for way in ("closing", "cancelling"):
        asyncio.run(run(way))


def test_an_answer_that_is_no_stream_is_not_taken_for_an_empty_one() -> None:
    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, "application/json", content_length="2") + b"\r\n{}")

    failure, _ = outcome(answer)
    assert failure.kind == "request_failed"
