"""Scripts, played to whole turns: the log keeps count of what was played."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from msgspec.structs import replace

from rota.resources.sessions import turns
from rota.runtime.advance import Limits
from rota.runtime.provider import ModelRequest, ModelUsage, Piece, Reply
from rota.runtime.providers.scripted import Scripted
from rota.runtime.turn import Turn
from tests.api import Api
from tests.runtime.crashes import Killed
from tests.runtime.stage import HOLD, Stage, message


def stage(api: Api, *lines: Any, **more: Any) -> Stage:
    script = "\n".join(["#!script", *map(json.dumps, lines)])
    found = Stage(api, initial_events=[message(script)], **more)
    found.parts = replace(found.parts, provider=Scripted())
    return found


def said(stage: Stage) -> list[str]:
    return [event["content"][0]["text"] for event in stage.log() if event["type"] == "agent.message"]


def turn(stage: Stage) -> None:
    """Until the session is idle, however long it has to wait in between."""
    stage.turn()
    while stage.session()["status"] != "idle":
        stage.api.clock.advance(seconds=120)
        stage.turn()


def test_a_script_is_played_through_tools_failures_and_messages(api: Api) -> None:
    played = stage(
        api,
        {"text": "Looking.", "tool_use": {"name": "bash", "input": {"command": "ls"}}},
        {"error": {"status": 529}},
        {"error": {"status": 429, "retry_after": 1}},
        {"text": "Two files."},
        {"text": "You are welcome."},
    )
    turn(played)
    assert said(played) == ["Looking.", "Two files."]
    assert played.bench.ran == [("bash", {"command": "ls"})]
    errors = [event["error"]["type"] for event in played.log() if event["type"] == "session.error"]
    assert errors == ["model_overloaded_error", "model_rate_limited_error"]
    played.send(message("Thanks."))
    turn(played)
    played.send(message("Bye."))
    turn(played)
    assert said(played)[2] == "You are welcome."
    assert said(played)[3].startswith("scripted")
    assert said(played)[3].endswith("Bye.")


def test_failures_of_a_turn_that_gave_up_are_not_played_again(api: Api) -> None:
    played = stage(api, *[{"error": {"status": 529}}] * 3, {"text": "Back again."}, limits=Limits(attempts=3))
    turn(played)
    assert played.types()[-1] == "S:idle retries_exhausted"
    played.send(message("Are you there?"))
    turn(played)
    assert said(played) == ["Back again."]


class Mortal(Scripted):
    """A server that dies while the model is asked."""

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece]:
        async for _ in super().ask(request):
            raise Killed
        yield Reply(content=[], stop_reason="end_turn", usage=ModelUsage())


def test_a_line_that_nobody_heard_is_played_again(api: Api) -> None:
    played = stage(api, {"text": "One."}, {"text": "Two."})
    mortal = replace(played.parts, provider=Mortal())

    async def die() -> None:
        [claim] = await api.house.db.write(turns.claim, 1, HOLD, [])
        with pytest.raises(Killed):
            await Turn(mortal, claim).run()

    api.run(die())
    api.clock.advance(seconds=31)
    turn(played)
    assert "span.model_request_end error" in played.types()
    assert said(played) == ["One."]
    played.send(message("More."))
    turn(played)
    assert said(played) == ["One.", "Two."]


def test_a_refusal_is_played_once(api: Api) -> None:
    played = stage(api, {"text": "No.", "stop_reason": "refusal"}, {"stop_reason": "refusal"}, {"text": "Well."})
    for _ in range(2):
        turn(played)
        assert played.types()[-1] == "S:idle refusal"
        played.send(message("Please."))
    turn(played)
    assert said(played)[-1] == "Well."
