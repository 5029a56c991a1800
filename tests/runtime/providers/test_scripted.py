"""The scripted model and its language."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.runtime.provider import ModelUsage, ProviderFailure, Reply, TextDelta, ThinkingBegan
from rota.runtime.providers.scripted import Scripted
from tests.runtime.providers.talk import Talk, pieces, question, text, user


def script(*lines: Any) -> str:
    return "\n".join(["#!script", *(line if isinstance(line, str) else json.dumps(line) for line in lines)])


def talk(*first: str, system: str | None = None) -> Talk:
    found = Talk(Scripted(), system=[] if system is None else [text(system)])
    if first:
        found.say(*first)
    return found


# Without a script


def test_a_plain_reply_names_itself_first_and_quotes_the_user() -> None:
    said = talk("Good morning.").hear()
    assert said.startswith("scripted")
    assert "Good morning." in said


def test_it_is_the_last_text_of_the_user_that_is_quoted() -> None:
    conversation = talk("one", "two")
    assert "two" in conversation.hear()
    conversation.say({"type": "tool_result", "tool_use_id": "x", "content": [text("three")]})
    assert conversation.hear().endswith("two")
    assert "no message" in talk().hear()


def test_a_reply_comes_in_several_pieces() -> None:
    found = asyncio.run(pieces(Scripted(), question(user("Good morning."))))
    assert sum(isinstance(piece, TextDelta) for piece in found) > 3


# The language


LINES: list[tuple[Any, list[dict[str, Any]], str]] = [
    ({"text": "Hello."}, [text("Hello.")], "end_turn"),
    ({"tool_use": {"name": "bash", "input": {"command": "ls"}}}, [{"type": "tool_use", "name": "bash", "input": {"command": "ls"}}], "tool_use"),
    ({"tool_use": [{"name": "bash"}, {"name": "no_such_tool", "input": {"x": [1]}}]}, [{"type": "tool_use", "name": "bash", "input": {}}, {"type": "tool_use", "name": "no_such_tool", "input": {"x": [1]}}], "tool_use"),
    ({"thinking": "Hm.", "text": "Well.", "tool_use": {"name": "bash"}}, [{"type": "thinking", "thinking": "Hm."}, text("Well."), {"type": "tool_use", "name": "bash", "input": {}}], "tool_use"),
    ({"tool_use": {"name": "bash"}, "stop_reason": "max_tokens"}, [{"type": "tool_use", "name": "bash", "input": {}}], "max_tokens"),
    ({"text": "No.", "stop_reason": "refusal"}, [text("No.")], "refusal"),
    ({"stop_reason": "refusal"}, [], "refusal"),
    ({"stop_reason": "pause_turn", "delay_ms": 0}, [], "pause_turn"),
    ({"text": "Late.", "delay_ms": 1}, [text("Late.")], "end_turn"),
    ({"text": "Zeilen\u2028und \u00fc"}, [text("Zeilen\u2028und \u00fc")], "end_turn"),
    ({}, [], "end_turn"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "content", "stop_reason"), LINES, ids=[json.dumps(line[0]) for line in LINES])
def test_a_line_is_one_reply(line: Any, content: list[dict[str, Any]], stop_reason: str) -> None:
    reply = talk(script(json.dumps(line, ensure_ascii=False))).ask()
    assert isinstance(reply, Reply)
    known = [{key: value for key, value in block.items() if key not in ("id", "signature")} for block in reply.content]
    assert known == content
    assert reply.stop_reason == stop_reason
    assert (reply.stop_details is not None) == (stop_reason == "refusal")
    assert reply.usage.input_tokens > 0


def test_thinking_is_announced_and_carries_a_signature() -> None:
    found = asyncio.run(pieces(Scripted(), question(user(script({"thinking": "Hm.", "text": "Well."})))))
    assert found[0] == ThinkingBegan(0)
    assert isinstance(found[-1], Reply)
    assert found[-1].content[0]["signature"].startswith("scripted:")


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (529, "overloaded", True),
        (503, "overloaded", True),
        (429, "rate_limited", True),
        (500, "request_failed", True),
        (400, "request_failed", False),
        (401, "request_failed", False),
        (404, "request_failed", False),
        (402, "billing", False),
        (413, "context_overflow", False),
    ],
)
def test_an_error_is_what_its_status_means(status: int, kind: str, retry: bool) -> None:
    failure = talk(script({"error": {"status": status, "retry_after": 1.5}})).ask()
    assert isinstance(failure, ProviderFailure)
    assert (failure.kind, failure.retry, failure.retry_after) == (kind, retry, 1.5)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json", "malformed"),
        ("[1]", "Expected `object`"),
        ('{"txt": "x"}', "txt"),
        ('{"text": 1}', "text"),
        ('{"tool_use": {"input": {}}}', "name"),
        ('{"tool_use": [{"name": "x", "id": "y"}]}', "id"),
        ('{"error": {}}', "status"),
        ('{"error": {"status": 200}}', "400 to 599"),
        ('{"error": {"status": 529}, "text": "x"}', "stands alone"),
        ('{"stop_reason": "tired"}', "end_turn"),
        ('{"delay_ms": -1}', "delay_ms"),
    ],
)
def test_a_line_that_cannot_be_played_says_so_and_the_next_is_played(line: str, reason: str) -> None:
    conversation = talk(script({"text": "one"}, line, {"text": "three"}))
    assert conversation.hear() == "one"
    conversation.say("and?")
    said = conversation.hear()
    assert said.startswith("scripted: line 3 ")
    assert reason in said
    conversation.say("and?")
    assert conversation.hear() == "three"


# Which line is next


def test_lines_are_played_in_order_and_then_it_answers_plainly() -> None:
    conversation = talk(script({"tool_use": {"name": "bash"}}, "", {"text": "done"}))
    conversation.ask()
    assert conversation.hear() == "done"
    conversation.say("more?")
    assert conversation.hear().endswith("more?")


def test_a_system_prompt_may_be_a_script_and_a_user_s_goes_before_it() -> None:
    conversation = talk("hello", system=script({"text": "from the system"}, {"text": "never"}))
    assert conversation.hear() == "from the system"
    conversation.say(script({"text": "from the user"}))
    assert conversation.hear() == "from the user"
    conversation.say("more?")
    assert conversation.hear().startswith("scripted")


def test_a_later_script_begins_anew() -> None:
    conversation = talk(script({"text": "a"}, {"text": "never"}))
    assert conversation.hear() == "a"
    conversation.say(script({"error": {"status": 529}}, {"text": "b"}))
    assert isinstance(conversation.ask(), ProviderFailure)
    assert conversation.hear() == "b"


def test_a_script_that_comes_with_another_message_is_found() -> None:
    assert talk("hello", script({"text": "a"}), "good-bye").hear() == "a"
    assert talk("hello\n" + script({"text": "a"})).hear().startswith("scripted")
    assert Talk(Scripted(), messages=[{"role": "user", "content": script({"text": "a"})}]).hear() == "a"


def test_what_a_tool_or_the_model_says_is_no_script() -> None:
    conversation = talk("hello")
    conversation.messages += [
        {"role": "assistant", "content": [text(script({"text": "a"}))]},
        user({"type": "tool_result", "tool_use_id": "x", "content": [text(script({"text": "b"}))]}),
    ]
    assert conversation.hear().startswith("scripted")


def test_failures_of_a_turn_that_gave_up_stay_spent() -> None:
    conversation = talk(script(*[{"error": {"status": 529}}] * 5, {"text": "back again"}))
    assert all(isinstance(conversation.ask(), ProviderFailure) for _ in range(5))
    conversation.say("are you there?")
    assert conversation.hear() == "back again"


def test_failures_before_a_script_are_not_its_own() -> None:
    conversation = talk(script({"error": {"status": 529}}, {"text": "never"}))
    assert isinstance(conversation.ask(), ProviderFailure)
    conversation.messages[-1]["content"].append(text(script({"text": "first"})))  # consumed together with the other
    assert conversation.hear() == "first"


def test_an_empty_reply_is_spent() -> None:
    conversation = talk(script({"stop_reason": "refusal"}, {"text": "after"}))
    assert isinstance(conversation.ask(), Reply)
    conversation.say("please")
    assert conversation.hear() == "after"


# Properties


LINE = st.one_of(
    st.text(max_size=20).map(lambda words: {"text": words}),
    st.lists(st.just({"name": "bash"}), min_size=1, max_size=3).map(lambda calls: {"tool_use": calls}),
    st.sampled_from([429, 500, 529]).map(lambda status: {"error": {"status": status}}),
    st.just({"stop_reason": "refusal"}),
    st.just({"thinking": "Hm."}),
)


def played(outcome: Reply | ProviderFailure) -> Any:
    """The line that an outcome came of."""
    if isinstance(outcome, ProviderFailure):
        return {"error": outcome.kind}
    if outcome.stop_reason == "refusal":
        return {"stop_reason": "refusal"}
    line: dict[str, Any] = {}
    for block in outcome.content:
        match block["type"]:
            case "tool_use":
                line.setdefault("tool_use", []).append({"name": block["name"]})
            case kind:
                line[kind] = block[kind]
    return line


def expected(line: dict[str, Any]) -> Any:
    if "error" in line:
        return {"error": {429: "rate_limited", 500: "request_failed", 529: "overloaded"}[line["error"]["status"]]}
    return {} if line.get("text") == "" else line


@settings(max_examples=60, deadline=None)
@given(st.lists(LINE, max_size=8), st.data(), st.booleans())
def test_every_line_plays_once_and_in_order_whatever_comes_between(
    lines: list[Any], data: st.DataObject, system: bool
) -> None:
    conversation = talk("begin", system=script(*lines)) if system else talk(script(*lines))
    heard: list[Any] = []
    for _ in lines:
        if data.draw(st.booleans()):
            conversation.say(data.draw(st.sampled_from(["go on", "#script", "{}"])))
        if data.draw(st.booleans()):  # a crash: what was asked is asked again, of another server
            asyncio.run(anext(Scripted().ask(conversation.request()))) if "error" not in lines[len(heard)] else None
            conversation.provider = Scripted()
        heard.append(played(conversation.ask()))
    assert heard == [expected(line) for line in lines]
    conversation.say("the end")
    assert conversation.hear().startswith("scripted")


@settings(max_examples=60, deadline=None)
@given(st.lists(LINE, max_size=4), st.text(max_size=50))
def test_the_same_question_has_the_same_answer(lines: list[Any], words: str) -> None:
    def run() -> list[Any]:
        conversation = talk(script(*lines))
        outcomes: list[Any] = []
        for _ in range(len(lines) + 1):
            outcome = conversation.ask()
            outcomes.append(outcome if isinstance(outcome, Reply) else outcome.kind)
            conversation.say(words)
        return outcomes

    first = run()
    assert first == run()
    ids = [block["id"] for reply in first if isinstance(reply, Reply) for block in reply.content if "id" in block]
    assert len(set(ids)) == len(ids)


def test_usage_follows_from_the_lengths() -> None:
    def usage(words: str, reply: str) -> ModelUsage:
        answer = talk(script({"text": reply}), words).ask()
        assert isinstance(answer, Reply)
        return answer.usage

    assert usage("x", "y") == usage("x", "y")
    assert usage("x" * 400, "y").input_tokens - usage("", "y").input_tokens == 100
    assert usage("x", "y" * 401).output_tokens - usage("x", "y").output_tokens == 100


# A script of the server's


def test_a_server_s_own_script_is_played_where_a_conversation_has_none() -> None:
    default = script({"text": "First."}, {"text": "Second."})
    found = Talk(Scripted(default), system=[text("You are kind.")])
    found.say("Hello.")
    assert found.hear() == "First."
    found.say("And then?")
    assert found.hear() == "Second."
    found.say(script({"text": "Mine."}))
    assert found.hear() == "Mine."


def test_a_system_prompt_s_script_goes_before_the_server_s() -> None:
    found = Talk(Scripted(script({"text": "Theirs."})), system=[text(script({"text": "Mine."}))])
    found.say("Hello.")
    assert found.hear() == "Mine."
