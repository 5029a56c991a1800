"""Long sessions: a step costs the same however long the log is, and the model hears the same conversation however it was put together."""

from rota.base.clock import HandClock
from rota.resources.sessions import turns
from rota.resources.sessions.turns import Claim, LogEvent
from rota.runtime.transcript import FileContent, Talk
from rota.store.tx import Tx
from tests.api import Api
from tests.files import upload
from tests.runtime.players import fails, say, use
from tests.runtime.prove_long import cost
from tests.runtime.stage import Stage, answer, message


def test_a_step_does_not_cost_more_in_a_long_log(sqlite_api: Api) -> None:
    assert cost(sqlite_api, 6_000) < 3 * cost(sqlite_api, 100)


def test_each_question_is_what_the_log_before_it_amounts_to(api: Api, clock: HandClock) -> None:
    file_id = upload(api, b"Figures.")["id"]
    document = {"type": "document", "source": {"type": "file", "file_id": file_id}}
    read, ask = use("read", 1, file_path="a"), use("ask_user", 2)
    stage = Stage(
        api, say("", use("glob", 3), read, thinking="Hm."), say(""), say("So.", ask), fails(), say("Well.", read), say("Done."),
        initial_events=[{"type": "user.message", "content": [document]}],
    )  # fmt: skip
    stage.turn()
    stage.send(message("And?"))
    stage.turn()
    stage.send(answer(stage.calls()[-1]), message("More."))
    stage.turn()
    clock.advance(seconds=60)
    stage.turn()
    log = whole(api, stage.id)
    assert len(stage.player.asked) == 6
    begun = [number for number, event in enumerate(log) if event.type == "span.model_request_start"]
    for place, asked in zip(begun, stage.player.asked, strict=True):
        talk = Talk()
        for event in log[:place]:
            talk.follow(event, {file_id: FileContent("text/plain", b"Figures.")})
        assert (asked.messages, asked.unanswered) == (talk.messages, tuple(talk.unanswered))
    assert stage.player.asked[-1].messages[0]["content"][0]["source"]["data"] == "Figures."
    told = [event.notes["request_hash"] for event in log if event.notes.get("request_hash")]
    assert len(set(told)) == len(told) == 5


def whole(api: Api, session_id: str) -> list[LogEvent]:
    def read(tx: Tx) -> list[LogEvent]:
        [(_, epoch)] = tx.all(turns.sql.EPOCHS, ids=[session_id])
        return turns.load(tx, Claim(session_id, epoch))[1]

    return api.read(read)
