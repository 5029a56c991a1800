"""Where the breakpoints of the prompt cache are, and that nothing else is changed."""

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rota.runtime.provider import Block
from rota.runtime.providers.body import body, with_breakpoints
from tests.runtime.providers.talk import BASH, question, text, user

CALL: Block = {"type": "tool_use", "id": "toolu_01", "name": "bash", "input": {}}
RESULT: Block = {"type": "tool_result", "tool_use_id": "toolu_01", "content": [text("x")]}
THOUGHT: Block = {"type": "thinking", "thinking": "Hm.", "signature": "x"}


def assistant(*content: Block) -> Block:
    return {"role": "assistant", "content": list(content)}


def marks(messages: list[Block]) -> list[tuple[int, int]]:
    """Message and block of every breakpoint."""
    return [
        (at, number)
        for at, message in enumerate(messages)
        for number, each in enumerate(message["content"])
        if isinstance(each, dict) and "cache_control" in each
    ]


def test_the_first_question_is_marked_at_its_ends() -> None:
    system, tools, messages = with_breakpoints([text("a"), text("b")], [BASH, BASH], [user("c", "d")])
    assert ["cache_control" in each for each in system] == [False, True]
    assert ["cache_control" in each for each in tools] == [False, True]
    assert marks(messages) == [(0, 1)]


def test_later_ones_are_marked_where_the_question_before_ended_too() -> None:
    talk = [user("a"), assistant(CALL), user(RESULT), assistant(THOUGHT, CALL), user(RESULT, RESULT)]
    assert marks(with_breakpoints([], [], talk)[2]) == [(2, 0), (4, 1)]
    assert marks(with_breakpoints([], [], [*talk, user("and this")])[2]) == [(2, 0), (5, 0)]


def test_a_block_that_cannot_carry_one_is_passed_over() -> None:
    assert marks(with_breakpoints([], [], [user("a", "")])[2]) == [(0, 0)]
    assert marks(with_breakpoints([], [], [user(THOUGHT)])[2]) == []


def test_a_content_that_is_plain_text_becomes_a_block() -> None:
    messages = with_breakpoints([], [], [{"role": "user", "content": "a"}])[2]
    assert messages == [{"role": "user", "content": [text("a") | {"cache_control": {"type": "ephemeral"}}]}]


def test_no_system_prompt_and_no_tools_are_not_sent() -> None:
    assert not {"system", "tools"} & set(body(question(user("a"), system=[text("")]), max_tokens=5))


BLOCK = st.sampled_from([text("a"), text(""), CALL, RESULT, THOUGHT])
MESSAGE = st.one_of(
    st.builds(user, BLOCK, BLOCK), st.builds(assistant, BLOCK), st.just({"role": "user", "content": "plain"})
)


@given(st.lists(st.just(text("s")), max_size=2), st.lists(st.just(BASH), max_size=2), st.lists(MESSAGE, max_size=8))
def test_there_are_never_more_than_four_and_nothing_else_changes(
    system: list[Block], tools: list[Block], messages: list[Block]
) -> None:
    before = deepcopy([system, tools, messages])
    found = with_breakpoints(system, tools, messages)
    assert [system, tools, messages] == before, "what is given is not touched"
    assert str(found).count("cache_control") <= 4
    assert plain(found) == plain(before)
    assert with_breakpoints(*plain(found)) == with_breakpoints(*plain(found)), "a pure function"


def plain(parts: Any) -> list[Any]:
    """Without breakpoints, every content a list of blocks."""

    def bare(thing: Any) -> Any:
        if isinstance(thing, dict):
            found = {key: bare(value) for key, value in thing.items() if key != "cache_control"}
            return found | {"content": [text("plain")]} if found.get("content") == "plain" else found
        return [bare(each) for each in thing] if isinstance(thing, list | tuple) else thing

    return bare(list(parts))
