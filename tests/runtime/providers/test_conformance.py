"""What holds for every provider: the same scripts, played in this process and by an endpoint over the wire."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota.runtime.provider import Provider, ProviderFailure, Reply, TextDelta, ThinkingBegan
from rota.runtime.providers.scripted import Scripted
from tests.runtime.providers.endpoint import endpoint, plays
from tests.runtime.providers.talk import pieces, question, text, user

Opening: TypeAlias = Callable[[], AbstractAsyncContextManager[Provider]]


@asynccontextmanager
async def in_this_process() -> AsyncGenerator[Provider]:
    provider = Scripted()
    yield provider
    await provider.close()


@asynccontextmanager
async def over_the_wire() -> AsyncGenerator[Provider]:
    async with endpoint(plays) as place:
        yield place.provider


@pytest.fixture(params=[in_this_process, over_the_wire])
def opening(request: pytest.FixtureRequest) -> Opening:
    return request.param


def script(*lines: Any) -> str:
    return "\n".join(["#!script", *map(json.dumps, lines)])


def tried(opening: Opening, test: Callable[[Provider], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with opening() as provider:
            return await test(provider)

    return asyncio.run(run())


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
LINE = st.fixed_dictionaries(
    {},
    optional={
        "thinking": WORDS,
        "text": WORDS,
        "tool_use": st.lists(
            st.fixed_dictionaries({"name": st.just("bash"), "input": st.dictionaries(WORDS, WORDS, max_size=2)}),
            max_size=3,
        ),
    },
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINE, min_size=1, max_size=4))
def test_every_stream_is_well_formed_and_says_what_was_meant(opening: Opening, lines: list[dict[str, Any]]) -> None:
    async def test(provider: Provider) -> None:
        for line in lines:
            found = await pieces(provider, question(user(script(line))))
            reply = found[-1]
            assert isinstance(reply, Reply)
            kinds = [name for name in ("thinking", "text") if line.get(name)] + ["tool_use"] * len(
                line.get("tool_use", [])
            )
            assert [block["type"] for block in reply.content] == kinds
            assert sum(isinstance(piece, ThinkingBegan) for piece in found) == kinds.count("thinking")
            assert [block["input"] for block in reply.content if block["type"] == "tool_use"] == [
                call["input"] for call in line.get("tool_use", [])
            ]
            assert reply.stop_reason == ("tool_use" if line.get("tool_use") else "end_turn")
            assert reply.usage.output_tokens > 0

    tried(opening, test)


def test_a_text_comes_in_parts(opening: Opening) -> None:
    found = tried(opening, lambda provider: pieces(provider, question(user("Good morning to you."))))
    assert sum(isinstance(piece, TextDelta) for piece in found) > 1


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [(529, "overloaded", True), (429, "rate_limited", True), (500, "request_failed", True), (402, "billing", False), (400, "request_failed", False)],
)  # fmt: skip
def test_a_failure_is_a_provider_s_failure_and_the_next_question_is_answered(
    opening: Opening, status: int, kind: str, retry: bool
) -> None:
    async def test(provider: Provider) -> None:
        with pytest.raises(ProviderFailure) as failure:
            await pieces(provider, question(user(script({"error": {"status": status, "retry_after": 2}}))))
        assert (failure.value.kind, failure.value.retry) == (kind, retry)
        assert failure.value.retry_after == 2
        assert failure.value.message == str(failure.value)
        assert (await pieces(provider, question(user("Hello."))))[-1]

    tried(opening, test)


def test_a_refusal_is_a_reply(opening: Opening) -> None:
    reply = tried(opening, lambda provider: pieces(provider, question(user(script({"stop_reason": "refusal"})))))[-1]
    assert (reply.content, reply.stop_reason, reply.stop_details["type"]) == ([], "refusal", "refusal")


@pytest.mark.parametrize("taken", [0, 1])
def test_a_question_can_be_given_up_at_any_time(opening: Opening, taken: int) -> None:
    async def test(provider: Provider) -> None:
        asking = provider.ask(question(user("Tell me a long story.")))
        for _ in range(taken):
            await anext(asking)
        await asking.aclose()
        late = provider.ask(question(user(script({"delay_ms": 3_000_000, "text": "too late"}))))
        waiting = asyncio.ensure_future(anext(late))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await pieces(provider, question(user("Hello."))))[-1]

    tried(opening, test)


def test_many_can_ask_at_once_and_each_gets_its_own(opening: Opening) -> None:
    async def test(provider: Provider) -> list[Any]:
        return await asyncio.gather(
            *(pieces(provider, question(user(script({"text": f"reply {number}"})))) for number in range(20))
        )

    found = tried(opening, test)
    assert [each[-1].content for each in found] == [[text(f"reply {number}")] for number in range(20)]


def test_closing_twice_is_no_error(opening: Opening) -> None:
    async def test(provider: Provider) -> None:
        await pieces(provider, question(user("Hello.")))
        await provider.close()
        await provider.close()

    tried(opening, test)
