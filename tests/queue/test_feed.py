"""A feed under load and in trouble: slow readers, many readers, lost wake-ups, the end."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from rota.base.errors import Unavailable
from rota.queue.feed import QUIET, STALLED
from rota.queue.listener import PIECE, ROOM, Entry, runs
from rota.resources.sessions import log, sql
from rota.store.tx import Tx
from tests.api import Api
from tests.resources.test_session_streams import append, listed, stream
from tests.resources.test_threads import create
from tests.streams import at_rest

LARGE = json.dumps({"content": [{"type": "text", "text": "x" * 100_000}]})


def later(api: Api, seconds: float) -> None:
    """What the beat does after so long."""

    async def work() -> None:
        api.house.feed.tick(asyncio.get_running_loop().time() + seconds)

    api.run(work())


def append_silently(api: Api, session: str, *kinds: str) -> list[str]:
    """Events whose wake-up nobody hears."""

    def work(tx: Tx) -> list[str]:
        last = log.end(tx, session).position
        rows = [(session, last + n, f"sevt_{last + n}", None, kind, tx.now, "{}") for n, kind in enumerate(kinds, 1)]
        tx.insert(sql.APPEND, rows)
        return [each[2] for each in rows]

    return api.write(work)


def entries(*sizes: int, final: int | None = None) -> list[Entry]:
    """Entries of a view with frames of these sizes; ``final`` is the index of one that is."""
    return [Entry(at, ("v",), f"e{at}", bytes([at]) * size, final=at == final) for at, size in enumerate(sizes)]


def test_a_run_is_one_piece_unless_one_entry_alone_is_longer() -> None:
    found = list(runs(entries(10, PIECE - 10, 1, PIECE + 1, 5, 5)))
    assert [[entry.position for entry in run.entries] for run in found] == [[0, 1], [2], [3], [4, 5]]
    for run in found:
        assert run.frame == b"".join(entry.frame for entry in run.entries)
    assert list(runs([])) == []


def test_nothing_follows_the_last_entry_of_a_view_in_its_run() -> None:
    assert [len(run.entries) for run in runs(entries(1, 1, 1, final=1))] == [2, 1]


def test_what_one_look_finds_is_the_same_piece_for_all_and_written_at_once(api: Api) -> None:
    session = create(api)
    with stream(api, session) as one, stream(api, session) as other:
        at_rest(api)
        sent = append(api, session, *["agent.message"] * 10)
        for each in (one, other):
            assert [frame.id for frame in each.take(10)] == sent
        assert one.direct == other.direct == len(one.chunks) == 1
        assert one.chunks[0] is other.chunks[0]


def test_who_saw_the_log_end_in_the_middle_of_a_run_gets_the_rest_of_it(api: Api) -> None:
    session = create(api)
    with stream(api, session) as first:
        at_rest(api)
        before = append_silently(api, session, "agent.message", "agent.thinking")
        with stream(api, session) as second:
            after = append(api, session, "agent.message", "session.usage")
            assert [frame.id for frame in first.take(4)] == before + after
            assert [frame.id for frame in second.take(2)] == after


def test_what_is_written_at_once_never_overtakes_what_waits(api: Api) -> None:
    session = create(api)
    with stream(api, session, slow=True) as found:
        at_rest(api)
        sent = append(api, session, "agent.message")
        at_rest(api)
        found.go_on()
        sent += append(api, session, "agent.thinking", "session.usage")
        assert [frame.id for frame in found.take(3)] == sent
        at_rest(api)
        sent = append(api, session, "agent.message")
        assert [frame.id for frame in found.take(1)] == sent
        assert found.direct >= 1, "it is as quick as the others again"


def test_what_is_larger_than_a_piece_comes_in_pieces(api: Api) -> None:
    session = create(api)
    with stream(api, session) as found:
        append(api, session, "agent.message", "agent.message", body=LARGE)
        found.take(2)
        assert max(map(len, found.chunks)) == PIECE
        assert found.direct == 0


def test_a_slow_reader_takes_a_bounded_room_and_gets_everything_in_the_end(api: Api) -> None:
    session = create(api)
    with stream(api, session) as quick, stream(api, session, slow=True) as slow:
        sent: list[str] = []
        for _ in range(20):
            sent += append(api, session, *["agent.message"] * 3, body=LARGE)
            quick_frames = quick.take(3)
            assert [frame.id for frame in quick_frames] == sent[-3:], "others do not wait for it"
        held = [listener.held for listener in api.house.feed._all()]
        assert max(held) <= ROOM
        assert ROOM + 2 * PIECE + 2 * 65536 < 1_000_000, "with what the transport holds"
        slow.go_on()
        assert [frame.id for frame in slow.take(60)] == sent
        more = append(api, session, "agent.message")
        assert [frame.id for frame in slow.take(1)] == more == [frame.id for frame in quick.take(1)]


def test_an_event_larger_than_the_room_reaches_everybody(api: Api) -> None:
    session = create(api)
    body = json.dumps({"content": [{"type": "text", "text": "y" * (3 * ROOM)}]})
    with stream(api, session) as found, stream(api, session, slow=True) as slow:
        sent = append(api, session, "agent.message", "agent.message", body=body)
        assert [frame.id for frame in found.take(2)] == sent
        slow.go_on()
        assert [frame.id for frame in slow.take(2)] == sent


def test_a_slow_reader_of_what_ends_sees_the_end(api: Api) -> None:
    session, other = create(api), create(api)
    with stream(api, session, slow=True) as archived, stream(api, other, slow=True) as deleted:
        for each in (session, other):
            append(api, each, *["agent.message"] * 10, body=LARGE)
        api.post(f"/v1/sessions/{session}/archive").ok()
        api.delete(f"/v1/sessions/{other}").ok()
        archived.go_on()
        deleted.go_on()
        assert [frame.name for frame in archived.rest()] == ["agent.message"] * 10 + ["session.status_terminated"]
        assert deleted.rest()[-1].name == "session.deleted"


def test_who_hears_nothing_is_told_that_the_server_is_there(api: Api) -> None:
    session = create(api)
    with stream(api, session) as found:
        later(api, QUIET - 1)
        append(api, session, "agent.message")
        assert [frame.name for frame in found.take(1)] == ["agent.message"]
        later(api, QUIET - 1)
        later(api, QUIET)
        [ping] = found.take(1)
        assert (ping.name, ping.data) == ("ping", {"type": "ping"})


def test_who_takes_nothing_for_long_is_given_up(api: Api) -> None:
    session = create(api)
    with stream(api, session) as quick, stream(api, session, slow=True) as slow:
        append(api, session, *["agent.message"] * 3, body=LARGE)
        assert len(quick.take(3)) == 3
        later(api, STALLED - 1)
        assert not slow.cut_off
        later(api, STALLED + 1)
        api.run(asyncio.wait_for(slow._task, 10))
        assert slow.cut_off
        assert not quick.cut_off


def test_a_thousand_listen_and_each_event_is_encoded_and_read_once(sqlite_api: Api) -> None:
    session = create(sqlite_api)
    logs = sqlite_api.house.feed._source
    encoded: list[str] = []
    encode: Callable[[str, bytes], bytes] = logs._encode  # type: ignore[attr-defined]
    logs._encode = lambda kind, data: encoded.append(kind) or encode(kind, data)  # type: ignore[attr-defined]
    streams = [stream(sqlite_api, session) for _ in range(1000)]

    async def open_all() -> None:
        await asyncio.gather(*(each._begin() for each in streams))

    sqlite_api.run(open_all())
    sent = append(sqlite_api, session, "agent.message", "agent.thinking", "session.usage")
    for each in streams:
        assert [frame.id for frame in each.take(3)] == sent
    assert len(encoded) == 3
    assert len(sqlite_api.house.feed) == 1000

    async def leave_all() -> None:
        for each in streams:
            each._left.set()
        await asyncio.gather(*(each._task for each in streams))

    sqlite_api.run(leave_all())
    assert len(sqlite_api.house.feed) == 0
    assert sqlite_api.house.feed._channels == {}


def test_a_wake_up_that_was_lost_is_made_good_by_the_beat(api: Api) -> None:
    session = create(api)
    with stream(api, session) as found:
        sent = append_silently(api, session, "agent.message", "session.usage")
        api.run(api.house.feed.look())
        assert [frame.id for frame in found.take(2)] == sent

        def end(tx: Tx) -> None:
            tx.run(sql.DELETE, id=session)

        api.write(end)
        api.run(api.house.feed.look())
        assert [frame.name for frame in found.rest()] == ["session.deleted"]


def test_a_database_that_is_away_delays_a_stream_and_breaks_none(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    session = create(api)
    with stream(api, session) as found:
        sent = append(api, session, "agent.message")
        found.take(1)
        at_rest(api)  # a look that has begun already would see what is appended meanwhile
        read = api.house.db.read

        async def away(*_: Any) -> Any:
            raise Unavailable("away")

        monkeypatch.setattr(api.house.db, "read", away)
        sent = append(api, session, "agent.thinking")
        api.run(asyncio.sleep(0.05))
        assert found.frames == []
        monkeypatch.setattr(api.house.db, "read", read)
        api.run(api.house.feed.look())
        assert [frame.id for frame in found.take(1)] == sent


def test_a_server_that_stops_ends_its_streams_with_what_they_have(api: Api) -> None:
    session = create(api)
    with stream(api, session) as found, stream(api, session, slow=True) as slow:
        append(api, session, *["agent.message"] * 2, body=LARGE)
        found.take(2)

        async def stop() -> None:
            api.house.hang_up()

        api.run(stop())
        assert found.rest() == []
        with stream(api, session) as late:
            assert late.rest() == []
        api.run(asyncio.wait_for(slow._task, 10))
        assert slow.cut_off, "nobody waits for who takes nothing"
    assert api.house.feed._channels == {}


def test_readers_that_come_and_go_while_a_log_grows_miss_nothing(api: Api) -> None:
    """Each opens its stream and then lists, as clients do: together that is the log, whole and in order."""
    session = create(api)
    written: list[str] = []
    for round_ in range(12):
        append(api, session, *["agent.message"] * (round_ % 3 + 1))
        with stream(api, session) as found:
            written += append(api, session, "agent.thinking")
            before = [event["id"] for event in listed(api, session)]
            after = append(api, session, "session.usage")
            heard = [frame.id for frame in found.take(2)]
            assert heard == [before[-1], *after]
            known = [*before, *(each for each in heard if each not in before)]
            assert known == [event["id"] for event in listed(api, session)]
