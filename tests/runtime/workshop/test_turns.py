"""Whole turns over a real workshop: what a model is told, what its tools leave, and what a crash takes."""

import asyncio
from contextlib import suppress

import msgspec

from rota.resources.sessions import turns
from rota.runtime.turn import Turn
from tests.runtime.players import say, use
from tests.runtime.stage import HOLD, Stage, message
from tests.runtime.workshop.scene import Scene

OUTPUTS = "/mnt/session/outputs"


def stage(scene: Scene, *replies: object) -> Stage:
    """A session whose tools run in the scene's boxes."""
    made = Stage(scene.api, *replies)  # type: ignore[arg-type]
    made.parts = msgspec.structs.replace(made.parts, workshop=scene.workshop)
    return made


def outputs(made: Stage) -> dict[str, bytes]:
    """What has been published."""
    listed = made.api.get("/v1/files", query={"scope_id": made.id}).ok()["data"]
    return {each["filename"]: made.api.get(f"/v1/files/{each['id']}/content").raw for each in listed}


def test_a_turn_leaves_its_outputs_and_the_next_one_finds_its_files(scene: Scene) -> None:
    made = stage(
        scene,
        say("", use("bash", command=f"echo noted > notes; echo result > {OUTPUTS}/report.md")),
        say("Written."),
        say("", use("read", 2, file_path="/workspace/notes")),
        say("Read."),
    )
    made.send(message())
    made.turn()
    assert made.types()[-1] == "S:idle end_turn"
    assert outputs(made) == {"report.md": b"result\n"}
    assert OUTPUTS in str(made.player.asked[0].system)
    scene.restart()
    made.parts = msgspec.structs.replace(made.parts, workshop=scene.workshop)
    made.send(message("Again."))
    made.turn()
    [*_, result] = [event for event in made.log() if event["type"] == "agent.tool_result"]
    assert result["content"][0]["text"].strip() == "noted"


def test_what_a_dead_server_had_not_published_is_published_by_whoever_goes_on(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    made = stage(
        scene,
        say("", use("bash", command="true")),
        say("", use("bash", 2, command=f"echo late > {OUTPUTS}/late")),
    )
    made.send(message())

    async def die() -> None:
        """Be killed while the model is asked what to say to the second result."""
        [claimed] = await scene.api.house.db.write(turns.claim, 10, HOLD, [])
        turn = asyncio.create_task(Turn(made.parts, claimed).run())
        while len(made.player.asked) < 3:
            made.player.begun.clear()
            if len(made.player.asked) == 2:
                made.player.gate = asyncio.Event()
            await made.player.begun.wait()
        turn.cancel()
        with suppress(asyncio.CancelledError):
            await turn

    scene.api.run(die())
    scene.restart()
    made.parts = msgspec.structs.replace(made.parts, workshop=scene.workshop)
    made.player.gate = None
    scene.api.clock.advance(seconds=HOLD / 1_000_000 + 1)
    made.turn()
    assert made.types()[-1] == "S:idle end_turn"
    assert outputs(made) == {"late": b"late\n"}
