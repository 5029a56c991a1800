"""Previews of events, on streams that asked for them (contract, previews)."""

import asyncio
import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from rota.base import ids
from rota.http.stream import frame
from rota.queue.listener import ROOM
from rota.resources.sessions import log, sql
from rota.resources.sessions.previews import Previews
from rota.store.tx import Tx
from tests.api import Api
from tests.resources.test_session_streams import append, spawn, stream, threads
from tests.resources.test_threads import create
from tests.streams import Frame, Stream, at_rest

MESSAGES = {"event_deltas[]": "agent.message"}
BOTH = {"event_deltas[]": ["agent.message", "agent.thinking"]}


class Model:
    """A model that says what it is told, as the turn engine tells of it."""

    def __init__(self, api: Api, session: str) -> None:
        self.api = api
        self.session = session
        self.previews: Previews = api.house.previews

    def request(self) -> list[str]:
        return append(self.api, self.session, "span.model_request_start")

    def start(self, kind: Any = "agent.message", **more: Any) -> str:
        event_id = ids.new(ids.EVENT)

        async def work() -> None:
            self.previews.start(self.session, kind, event_id, **more)

        self.api.run(work())
        return event_id

    def say(self, event_id: str, *texts: str, index: int = 0, **more: Any) -> None:
        async def work() -> None:
            for text in texts:
                self.previews.delta(self.session, event_id, index, text, **more)

        self.api.run(work())

    def event(self, event_id: str, text: str = "", kind: str = "agent.message", thread: str | None = None) -> None:
        """The event itself, and the end of its request."""
        body = json.dumps({"content": [{"type": "text", "text": text}]})

        def work(tx: Tx) -> None:
            last = log.end(tx, self.session).position
            tx.insert(sql.APPEND, [(self.session, last + 1, event_id, thread, kind, tx.now, body)])
            tx.wake(log.topic(self.session))

        self.api.write(work)

    def end(self) -> None:
        append(self.api, self.session, "span.model_request_end")


@pytest.fixture
def model(api: Api) -> Model:
    return Model(api, create(api))


def texts(frames: list[Frame], event_id: str) -> Iterator[str]:
    for each in frames:
        if each.name == "event_delta" and each.data["event_id"] == event_id:
            assert each.data["delta"]["type"] == "content_delta"
            assert each.data["delta"]["content"]["type"] == "text"
            yield each.data["delta"]["content"]["text"]


def test_a_message_is_previewed_between_its_request_and_itself(api: Api, model: Model) -> None:
    with stream(api, model.session, **MESSAGES) as found:
        model.request()
        event_id = model.start()
        model.say(event_id, "Good ", "morn")
        model.event(event_id, "Good morning")
        model.end()
        frames = found.take(6)
        assert [frame.name for frame in frames] == [
            "span.model_request_start", "event_start", "event_delta", "event_delta", "agent.message", "span.model_request_end",
        ]  # fmt: skip
        assert frames[1].data == {"type": "event_start", "event": {"type": "agent.message", "id": event_id}}
        assert frames[2].data == {
            "type": "event_delta", "event_id": event_id,
            "delta": {"type": "content_delta", "index": 0, "content": {"type": "text", "text": "Good "}},
        }  # fmt: skip
        assert frames[4].id == event_id
        assert frames[4].data["content"][0]["text"].startswith("".join(texts(frames, event_id)))


def test_a_preview_never_overtakes_what_was_committed_before_it(api: Api, model: Model) -> None:
    """The request's start is committed, and not yet read for the streams, when the model begins to speak."""
    event_id = ids.new(ids.EVENT)

    def begin(tx: Tx) -> None:
        log.append(tx, model.session, [("span.model_request_start", "{}")])

    async def work() -> None:
        await api.house.db.write(begin)
        model.previews.start(model.session, "agent.message", event_id)
        model.previews.delta(model.session, event_id, 0, "Hello")

    with stream(api, model.session, **MESSAGES) as found:
        api.run(work())
        assert [frame.name for frame in found.take(3)] == ["span.model_request_start", "event_start", "event_delta"]


def test_the_event_is_the_last_of_its_id(api: Api, model: Model) -> None:
    with stream(api, model.session, **MESSAGES) as found:
        event_id = model.start()
        assert [frame.name for frame in found.take(1)] == ["event_start"]
        model.event(event_id, "Done")
        assert [frame.name for frame in found.take(1)] == ["agent.message"]
        model.say(event_id, "late")
        late = ids.new(ids.EVENT)
        model.event(late, "Unannounced")

        async def tell() -> None:
            model.previews.start(model.session, "agent.message", late)
            model.previews.start(model.session, "agent.message", event_id)

        found.take(1)
        api.run(tell())
        [after] = append(api, model.session, "session.usage")
        assert [frame.data.get("id") for frame in found.take(1)] == [after]


def test_only_what_was_asked_for_is_previewed(api: Api, model: Model) -> None:
    with (
        stream(api, model.session) as none,
        stream(api, model.session, **MESSAGES) as some,
        stream(api, model.session, **BOTH) as all_,
    ):
        at_rest(api)  # previews of one event may come behind another event that a look under way finds
        thought, said = model.start("agent.thinking"), model.start()
        model.say(said, "Hm")
        model.event(thought, kind="agent.thinking")
        assert [frame.name for frame in none.take(1)] == ["agent.thinking"]
        assert [frame.name for frame in some.take(3)] == ["event_start", "event_delta", "agent.thinking"]
        frames = all_.take(4)
        assert [frame.name for frame in frames] == ["event_start", "event_start", "event_delta", "agent.thinking"]
        assert frames[0].data["event"] == {"type": "agent.thinking", "id": thought}


def test_a_stream_that_opens_in_the_middle_gets_nothing_of_what_is_under_way(api: Api, model: Model) -> None:
    event_id = model.start()
    model.say(event_id, "Good ")
    with stream(api, model.session, **MESSAGES) as found:
        model.say(event_id, "morning")
        model.event(event_id, "Good morning")
        assert [frame.name for frame in found.take(1)] == ["agent.message"]


def test_the_end_of_a_request_closes_what_it_left_open(api: Api, model: Model) -> None:
    with stream(api, model.session, **MESSAGES) as found:
        event_id = model.start()
        model.say(event_id, "Good")
        model.end()
        assert [frame.name for frame in found.take(3)] == ["event_start", "event_delta", "span.model_request_end"]
        model.say(event_id, " morning")
        [after] = append(api, model.session, "session.error")
        assert [frame.id for frame in found.take(1)] == [after]


def test_the_primary_threads_stream_has_previews_and_a_childs_has_its_own(api: Api, model: Model) -> None:
    spawn(api, model.session, "sthr_01child")
    primary = threads(api, model.session)[0]["id"]
    base = f"/v1/sessions/{model.session}/threads"
    with (
        stream(api, model.session, **MESSAGES) as whole,
        Stream(api, f"{base}/{primary}/stream", **MESSAGES) as own,
        Stream(api, f"{base}/sthr_01child/stream", **MESSAGES) as child,
    ):
        mine = model.start()
        inner = model.start(thread_id="sthr_01child")
        model.say(inner, "Psst", thread_id="sthr_01child")
        model.say(mine, "Hello")
        for found in (whole, own):
            assert [frame.name for frame in found.take(2)] == ["event_start", "event_delta"]
        frames = child.take(2)
        assert [list(texts(frames, each)) for each in (mine, inner)] == [[], ["Psst"]]


def test_what_does_not_fit_is_left_out_with_all_that_follows(api: Api, model: Model) -> None:
    """A slow reader gets a beginning of the text, and the event itself."""
    words = [f"{number:05}" + "x" * 1000 for number in range(2 * ROOM // 1000)]
    with stream(api, model.session, slow=True, **MESSAGES) as found:
        event_id = model.start()
        model.say(event_id, *words)
        model.event(event_id, "".join(words))
        [last] = append(api, model.session, "session.usage")
        found.go_on()
        frames = found.take(1)
        while frames[-1].data.get("id") != last:
            frames += found.take(1)
        heard = list(texts(frames, event_id))
        assert 0 < len(heard) < len(words)
        assert heard == words[: len(heard)]
        assert frames[-2].id == event_id


def test_previews_stand_between_the_events_that_one_look_finds(api: Api, model: Model) -> None:
    """Said while a look is under way that finds what was before, the event itself, and what came after."""
    event_id = ids.new(ids.EVENT)
    body = json.dumps({"content": [{"type": "text", "text": "Hello"}]})

    def write(tx: Tx) -> None:
        log.append(tx, model.session, [("session.usage", "{}"), ("span.model_request_start", "{}")])
        last = log.end(tx, model.session).position
        tx.insert(sql.APPEND, [(model.session, last + 1, event_id, None, "agent.message", tx.now + 9, body)])
        log.append(tx, model.session, [("span.model_request_end", "{}"), ("session.usage", "{}")])

    async def work() -> None:
        await api.house.db.write(write)
        model.previews.start(model.session, "agent.message", event_id)
        model.previews.delta(model.session, event_id, 0, "Hel")

    with stream(api, model.session, **MESSAGES) as found, stream(api, model.session) as without:
        at_rest(api)
        api.run(work())
        names = [frame.name for frame in found.take(7)]
        events = [
            "session.usage",
            "span.model_request_start",
            "agent.message",
            "span.model_request_end",
            "session.usage",
        ]
        assert names == [*events[:2], "event_start", "event_delta", *events[2:]]
        assert [frame.name for frame in without.take(5)] == events


def test_texts_of_several_blocks_keep_their_order(api: Api, model: Model) -> None:
    with stream(api, model.session, **MESSAGES) as found:
        event_id = model.start()
        model.say(event_id, "a", "b")
        model.say(event_id, "c", index=1)
        frames = found.take(4)[1:]
        assert [(frame.data["delta"]["index"], frame.data["delta"]["content"]["text"]) for frame in frames] == [
            (0, "a"), (0, "b"), (1, "c"),
        ]  # fmt: skip


# Between processes


class Wire:
    """Two processes' feeds, with what the one says to the other in between."""

    def __init__(self, heard: Any) -> None:
        self.shared = True
        self.said: list[str] = []
        self._heard = heard

    def is_heard(self, key: str) -> bool:
        return False

    def preview(self, key: str, preview: Any) -> None:
        raise AssertionError("nobody listens here")

    def say(self, key: str, text: str) -> None:
        self.said.append(text)
        assert len(text.encode()) < 7000

    def carry(self, *lost: int) -> None:
        for number, text in enumerate(self.said):
            if number not in lost:
                self._heard(text)


@pytest.fixture
def wire(api: Api, model: Model) -> Wire:
    """What another process says to this one's streams."""
    carried = Wire(lambda text: api.house.feed._channels[model.session].hear(text))
    model.previews = Previews(carried, frame)
    return carried


def carry(api: Api, model: Model, wire: Wire, *lost: int) -> None:
    """Wait until all has been said, and let it arrive but for some of it."""

    async def work() -> None:
        while any(saying.parts for saying in model.previews._sayings.values()):
            await asyncio.sleep(0.01)
        wire.carry(*lost)

    api.run(work())


def test_another_process_gets_the_same_in_fewer_parts(api: Api, model: Model, wire: Wire) -> None:
    numbers = count()
    with stream(api, model.session, **BOTH) as found:
        model.start("agent.thinking")
        event_id = model.start()
        model.say(event_id, *(f"{next(numbers)} é\t" for _ in range(1500)))
        model.say(event_id, "end", index=1)
        carry(api, model, wire)
        frames = found.take(len(wire.said))
        assert len(wire.said) < 20
        whole = "".join(f"{number} é\t" for number in range(1500))
        assert "".join(texts(frames, event_id)) == whole + "end"
        assert [frame.name for frame in frames[:2]] == ["event_start", "event_start"]


@pytest.mark.parametrize("lost", [1, 2, 4])
def test_what_is_lost_between_processes_takes_the_rest_with_it(api: Api, model: Model, wire: Wire, lost: int) -> None:
    with stream(api, model.session, **MESSAGES) as found:
        event_id = model.start()
        model.say(event_id, *("0123456789" * 100 for _ in range(6)))
        carry(api, model, wire, lost)
        model.event(event_id, "whole")
        frames = found.take(lost + 1)
        assert len(list(texts(frames, event_id))) == lost - 1
        assert frames[-1].id == event_id
