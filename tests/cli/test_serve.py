"""``rota serve`` from its first start to its last signal."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rota.base.settings import describe
from rota.cli import serve
from rota.resources.workspaces import keys
from tests.api import Api
from tests.cli.process import Server, environment, eventually, refusal, rota

KEY = "a-key-for-tests-0123456789"
BODY = b'{"name": "late"}'


def test_the_first_start_shows_a_key_that_works_and_the_second_shows_none(tmp_path: Path) -> None:
    with Server("--data-dir", str(tmp_path)) as server:
        [key] = re.findall(r"sk-rota-api01-\S+", server.said)
        assert server.ask("/v1/agents", key)[0] == 200
        assert server.ask("/readyz")[0] == 200
    with Server("--data-dir", str(tmp_path)) as server:
        assert "sk-rota" not in server.said
        assert server.ask("/v1/agents", key)[0] == 200


def test_a_key_from_the_environment_works_and_is_not_shown(tmp_path: Path) -> None:
    with Server("--data-dir", str(tmp_path), ROTA_BOOTSTRAP_API_KEY=KEY) as server:
        assert server.ask("/v1/agents", KEY)[0] == 200
        assert KEY not in server.said
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == (0, "")


def test_both_databases_can_be_served(database_url: str, tmp_path: Path) -> None:
    with Server("--data-dir", str(tmp_path), "--database", database_url, ROTA_BOOTSTRAP_API_KEY=KEY) as server:
        assert server.ask("/v1/environments", KEY, "POST", '{"name": "one"}')[0] == 200


def test_a_flag_beats_its_variable(tmp_path: Path) -> None:
    with Server("--data-dir", str(tmp_path), "--log-level", "info", ROTA_LOG_LEVEL="nonsense") as server:
        assert server.ask("/healthz")[0] == 200


def test_every_setting_is_a_flag_unless_it_is_a_secret() -> None:
    said = rota("serve", "--help").stdout
    for setting in describe():
        if not setting.flag:
            assert "--" + setting.name.replace("_", "-") + " " not in said
            continue
        assert setting.flag.replace("--log-json", "--log-json / --no-log-json") in said
        assert setting.variable in said


# What cannot work


def test_a_public_address_is_refused_until_there_is_a_key(tmp_path: Path) -> None:
    said = refusal("serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path))
    assert "no active key" in said
    assert "ROTA_BOOTSTRAP_API_KEY" in said
    assert "rota keys create" in said


def test_a_key_counts_if_it_is_active_or_will_be_made(api: Api) -> None:
    assert api.read(serve.has_key, None)
    api.write(keys.revoke, api.who.organization_id, api.who.key_id)
    assert not api.read(serve.has_key, None)
    assert not api.read(serve.has_key, KEY), "the database is not empty, so no key would be made"


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
                           ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.com", False)],
)  # fmt: skip
def test_only_this_machine_reaches_a_loopback_address(host: str, loopback: bool) -> None:
    assert serve.is_loopback(host) == loopback


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with Server("--data-dir", str(tmp_path / "one")) as server:
        said = refusal("serve", "--port", str(server.port), "--data-dir", str(tmp_path / "two"))
        assert str(server.port) in said
        assert "--port" in said
    assert not (tmp_path / "two").exists(), "nothing is made where nothing can be served"


def test_a_second_server_on_one_file_is_refused_whatever_its_duties(tmp_path: Path) -> None:
    with Server("--data-dir", str(tmp_path), "--only", "api") as server:
        for duties in ([], ["--only", "scheduler,courier"]):
            said = refusal("serve", "--port", "0", "--data-dir", str(tmp_path), *duties)
            assert str(server.process.pid) in said
            assert "several servers need PostgreSQL" in said


@pytest.mark.parametrize(
    ("args", "variables", "word"),
    [
        (["--port", "many"], {}, "--port"),
        ([], {"ROTA_SHUTDOWN_SECONDS": "-1"}, "ROTA_SHUTDOWN_SECONDS"),
        ([], {"ROTA_BOOTSTRAP_API_KEY": "short"}, "ROTA_BOOTSTRAP_API_KEY"),
        (["--only", "dancing"], {}, "dancing"),
        (["--database", "mysql://x"], {}, "mysql"),
        (["--host", "no such host"], {}, "no such host"),
        ([], {"ROTA_BOOTSTRAP_API_KEY": "sk-rota-api01-" + "0" * 22 + "-" + "0" * 43 + "-wrong0"}, "checksum"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(
    tmp_path: Path, args: list[str], variables: dict[str, str], word: str
) -> None:
    said = refusal("serve", "--port", "0", "--data-dir", str(tmp_path), *args, **{"ROTA_ONLY": "api", **variables})
    assert word in said
    assert "\n" not in said


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_server_with_code_0(tmp_path: Path, number: signal.Signals) -> None:
    with Server("--data-dir", str(tmp_path)) as server:
        server.process.send_signal(number)
        assert server.end() == (0, "")


def test_a_request_under_way_is_finished_before_the_end(tmp_path: Path) -> None:
    with Server("--data-dir", str(tmp_path), ROTA_BOOTSTRAP_API_KEY=KEY) as server:
        connection = server.begin_request(KEY, len(BODY))
        server.process.send_signal(signal.SIGTERM)
        eventually(server.refuses_connections)
        connection.sendall(BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.close()
        assert server.end() == (0, "")


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with Server("--data-dir", str(tmp_path), "--shutdown-seconds", "3600", ROTA_BOOTSTRAP_API_KEY=KEY) as server:
        connection = server.begin_request(KEY, len(BODY))
        server.process.send_signal(signal.SIGTERM)
        eventually(server.refuses_connections)
        server.process.send_signal(signal.SIGTERM)
        assert server.end()[0] == 128 + signal.SIGTERM
        connection.close()


def test_a_request_that_does_not_finish_is_cut_off_at_the_deadline(tmp_path: Path) -> None:
    with Server("--data-dir", str(tmp_path), "--shutdown-seconds", "1", ROTA_BOOTSTRAP_API_KEY=KEY) as server:
        connection = server.begin_request(KEY, len(BODY))
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code, said = server.end()
        connection.close()
    assert code == 0
    assert time.monotonic() - began >= 1
    assert "Traceback" not in said
    assert "Cancel 1 running task" in said


# What it costs


def test_a_server_carries_no_library_that_it_does_not_need() -> None:
    heavy = (
        "anthropic",
        "httpcore2",
        "httpx2",
        "idna",
        "pydantic",
        "psycopg",
        "cryptography",
        "prometheus_client",
        "python_multipart",
        "boto3",
        "rota.cli.show",
        "rota.cli.verbs",
    )
    program = f"import sys, rota.cli.root, rota.cli.serve; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
