"""Streams of a real server: cut off anywhere, across processes, and at its end. The long form is ``prove_stream``."""

import contextlib
import time
from pathlib import Path

import pytest

from tests.acceptance.prove_stream import SEAL, cuts, many, slow
from tests.acceptance.server import Server
from tests.acceptance.streaming import Reader, listed, send, session


def test_stream_and_list_together_give_every_event_once_whatever_is_cut_off(server: Server) -> None:
    found = cuts(server, server, 40)
    assert (found.missed, found.wrong) == (0, False)
    assert found.events > 20


def test_a_stream_tells_what_another_process_commits(postgres_url: str, tmp_path: Path) -> None:
    with (
        Server(tmp_path / "one", postgres_url, **SEAL) as one,
        Server(tmp_path / "other", postgres_url, **SEAL) as other,
    ):
        session_id = session(one)
        with Reader(other, session_id).open() as reader:
            sent = [each for _ in range(5) for each in send(one, session_id, 2)]
            assert [frame.id for frame in reader.take(10)] == sent
            one.ask("POST", f"/v1/sessions/{session_id}/archive").ok()
            assert [frame.name for frame in reader.rest()] == ["session.status_terminated"]
        found = cuts(one, other, 20, seed=2)
        assert (found.missed, found.wrong) == (0, False)


def test_a_server_that_is_told_to_stop_ends_its_streams(server: Server) -> None:
    session_id = session(server)
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(Reader(server, session_id)).open() for _ in range(20)]
        sent = send(server, session_id, 3)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 5
        for reader in readers:
            assert [frame.id for frame in reader.rest()] == sent
            assert reader.ended, "as HTTP has it"
    assert "error" not in server.errors().lower()


def test_who_takes_nothing_does_not_keep_a_server_from_stopping(sqlite_server: Server) -> None:
    session_id = session(sqlite_server)
    with Reader(sqlite_server, session_id, buffer=4096).open():
        for number in range(100):
            metadata = {f"key{each}": f"{number}" + "x" * 500 for each in range(16)}
            sqlite_server.ask("POST", f"/v1/sessions/{session_id}", {"metadata": metadata}).ok()
        for _ in range(40):
            sqlite_server.ask("POST", f"/v1/sessions/{session_id}", {"title": str(time.monotonic())}).ok()
        began = time.monotonic()
        sqlite_server.stop()
        assert time.monotonic() - began < 6


def test_a_stream_follows_its_session_over_a_restart(sqlite_server: Server) -> None:
    session_id = session(sqlite_server)
    with Reader(sqlite_server, session_id).open() as reader:
        first = send(sqlite_server, session_id)
        assert [frame.id for frame in reader.take(1)] == first
        sqlite_server.stop()
        assert reader.rest() == []
    sqlite_server.start()
    with Reader(sqlite_server, session_id).open() as reader:
        second = send(sqlite_server, session_id)
        assert [frame.id for frame in reader.take(1)] == second
    assert [event["id"] for event in listed(sqlite_server, session_id)] == first + second


def test_slow_readers_cost_little_and_others_do_not_wait_for_them(sqlite_server: Server) -> None:
    found = slow(sqlite_server, 5, 150)
    assert found.each < 1_000_000
    assert found.complete


@pytest.mark.parametrize("listeners", [200])
def test_many_listen_in_one_process(sqlite_server: Server, listeners: int) -> None:
    found = many(sqlite_server, listeners, 10)
    assert found.complete == listeners
