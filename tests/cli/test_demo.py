"""``rota demo``: it tells its story, ends, and leaves nothing behind unless it is asked to."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import anthropic
import httpx2
import pytest

from rota.cli import story
from tests.acceptance.server import Server
from tests.cli.process import SECONDS, answer, environment, eventually, refusal, rota


def test_the_demo_shows_a_run_and_a_failed_run_and_clears_up(tmp_path: Path) -> None:
    done = rota("demo", TMPDIR=str(tmp_path), ROTA_DATABASE="postgresql://not.to.be.touched/x", ROTA_API_KEY="x")
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert len(set(re.findall(r"drun_\w+", said))) == 2
    assert len(set(re.findall(r"sesn_\w+", said))) == 1 + 5
    assert "user.message" in said
    assert "end_turn" in said
    assert "environment_archived_error" in said
    if "No sandbox can be made here" not in said:
        assert "agent.tool_use" in said
        assert "2 parcels were late" in said
        assert "1044,Long Acre,12:00,14:05" in said.partition("late.csv:")[2]
    fired = re.findall(r"(\d\d:\d\d):00\W+(\d\d:\d\d):00\.000000\W+sesn_", said)
    upcoming = re.search(r"Its next runs \(UTC\): ([\d:, ]+)\.", said)
    assert upcoming is not None
    assert [scheduled for scheduled, _ in reversed(fired)] == upcoming[1].split(", ")
    assert all(scheduled == made for scheduled, made in fired)
    assert list(tmp_path.iterdir()) == []


def test_the_demo_tells_machines_the_same(tmp_path: Path) -> None:
    told = answer("demo", TMPDIR=str(tmp_path))
    assert told["run"]["session_id"] == told["session"]["id"]
    assert told["session"]["status"] == "idle"
    assert told["events"][-1]["stop_reason"] == {"type": "end_turn"}
    assert told["failed_run"]["error"]["type"] == "environment_archived_error"
    assert [run["trigger_context"]["type"] for run in told["scheduled_runs"]] == ["schedule"] * 5
    if told["no_sandbox"] is None:
        [output] = told["outputs"]
        assert output["filename"] == "late.csv"
        assert output["text"].splitlines()[1:] == ["1042,Mill Road,10:30,11:15", "1044,Long Acre,12:00,14:05"]


def test_where_no_sandbox_can_be_made_the_agent_only_talks(tmp_path: Path) -> None:
    teller = story.Teller(json=True)
    with Server(tmp_path, ROTA_SANDBOX="off", ROTA_ONLY="api,worker") as server:
        client = anthropic.Anthropic(base_url=server.url, api_key=server.key)
        story.tell(client, "claude-opus-5-5", teller, scripted=True, sandbox=False)
    kinds = [event["type"] for event in teller.told["events"]]
    assert "agent.message" in kinds
    assert "agent.tool_use" not in kinds
    assert kinds[-1] == "session.status_idle"
    assert "outputs" not in teller.told


def test_a_kept_demo_can_be_called_and_stopped_as_it_says(tmp_path: Path) -> None:
    said = rota("demo", "--keep", TMPDIR=str(tmp_path)).stdout
    found = re.search(r"curl -X POST (\S+) -H 'x-api-key: (\S+)'", said)
    stop = re.search(r"kill (\d+) && rm -r (\S+)", said)
    assert found is not None
    assert stop is not None
    process = int(stop[1])
    try:
        answer = httpx2.post(found[1], headers={"x-api-key": found[2]}, trust_env=False)
        assert answer.status_code == 200
        assert answer.json()["session_id"].startswith("sesn_")
        assert Path(stop[2]).parent == tmp_path
    finally:
        os.kill(process, signal.SIGTERM)
    eventually(lambda: not _alive(process))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_stopped_clears_up(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rota", "demo"], env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: list(tmp_path.glob("rota-demo-*/server.log")))
    process.send_signal(number)
    assert process.wait(SECONDS) != 0
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_cannot_start_says_why(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        done = rota("demo", "--port", str(other.getsockname()[1]), TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert "Cannot listen" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert "--port" in refusal("demo", "--port", "many", code=2)


def _alive(process: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
