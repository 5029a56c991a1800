"""``rota sessions events stream``: events on the terminal, as they come."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rota.cli.follow import events
from rota.http.stream import PING, frame
from tests.cli.process import SECONDS, Server, answer, environment, refusal, rota

KEY = "a-key-for-tests-0123456789"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables that lead to a server."""
    folder = tmp_path_factory.mktemp("follow")
    with Server("--data-dir", str(folder), ROTA_BOOTSTRAP_API_KEY=KEY) as live:
        yield {"ROTA_URL": live.url, "ROTA_API_KEY": KEY}


@pytest.fixture
def session(place: dict[str, str], tmp_path: Path) -> str:
    agent = answer("agents", "create", "--name", "Clerk", "--model", "claude-opus-5-5", **place)
    office = answer("environments", "create", "--name", tmp_path.name, **place)
    made = answer("sessions", "create", "--agent", agent["id"], "--environment-id", office["id"], **place)
    return made["id"]


class Following:
    """The command, while it runs."""

    def __init__(self, place: dict[str, str], *args: str) -> None:
        command = [sys.executable, "-u", "-m", "rota", *args]
        self.process = subprocess.Popen(command, env=environment(**place), stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> str:
        said, _ = self.process.communicate(timeout=SECONDS)
        assert self.process.returncode == 0
        return said


def until_heard(place: dict[str, str], session: str, following: Following) -> str:
    """A line that the command prints: titles are changed until one is seen, since nobody says when it listens."""
    heard = threading.Event()

    def change() -> None:
        number = 0
        while not heard.is_set():
            number += 1
            answer("sessions", "update", session, "--title", f"Title {number}", **place)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        return following.line()
    finally:
        heard.set()
        changing.join()


def test_an_event_is_printed_when_it_comes_and_the_end_is_the_streams(place: dict[str, str], session: str) -> None:
    following = Following(place, "sessions", "events", "stream", session)
    line = until_heard(place, session, following)
    assert "session.updated" in line
    assert "Title " in line
    rota("sessions", "archive", session, **place)
    assert following.end().rstrip().endswith("session.status_terminated")


def test_json_is_an_event_a_line(place: dict[str, str], session: str) -> None:
    following = Following(place, "sessions", "stream", session, "--json")
    first = msgspec.json.decode(until_heard(place, session, following))
    assert first["type"] == "session.updated"
    rota("sessions", "delete", session, **place)
    rest = [msgspec.json.decode(line) for line in following.end().splitlines()]
    assert rest[-1]["type"] == "session.deleted"


def test_a_refusal_is_one_line(place: dict[str, str]) -> None:
    assert refusal("sessions", "events", "stream", "sesn_nobody", **place).startswith("not_found_error: ")


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_events_are_found_however_their_bytes_come(size: int) -> None:
    text = "one\u2028two\x0bthree\x85four"
    raw = PING + frame("agent.message", msgspec.json.encode({"type": "agent.message", "text": text})) + PING
    chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert [event["text"] for event in events(chunks)] == [text]
