"""``rota doctor``: what it finds, and that it changes nothing."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rota.base.settings import load
from rota.cli import doctor
from tests.cli.process import Server, answer, rota

KEY = "a-key-for-tests-0123456789"


def examine(*args: str, well: bool, **variables: str) -> dict[str, Any]:
    """The findings by name, besides ``ok`` and ``settings``."""
    done = rota("doctor", "--json", *args, **variables)
    assert done.returncode == (0 if well else 1), done.stdout + done.stderr
    shown = msgspec.json.decode(done.stdout)
    assert shown["ok"] == well
    for finding in shown["findings"]:
        assert finding["status"] in ("ok", "note", "wrong")
    return {"settings": shown["settings"], **{finding["name"]: finding for finding in shown["findings"]}}


def test_nothing_is_wrong_before_the_first_start_and_nothing_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    found = examine("--data-dir", str(folder), "--port", "0", well=True)
    assert found["database"]["status"] == "note"
    assert not folder.exists()


def test_a_live_server_is_found_and_ready(tmp_path: Path) -> None:
    with Server("--data-dir", str(tmp_path), ROTA_BOOTSTRAP_API_KEY=KEY) as server:
        found = examine("--data-dir", str(tmp_path), "--port", str(server.port), well=True)
        assert str(server.process.pid) in found["server"]["found"]
        assert "is ready" in found["port"]["found"]
        assert found["keys"]["status"] == "ok"
        assert server.ask("/v1/agents", KEY)[0] == 200


def test_both_databases_are_looked_at(database_url: str, tmp_path: Path) -> None:
    store = ["--database", database_url, "--data-dir", str(tmp_path)]
    answer("keys", "create", *store)
    found = examine(*store, "--port", "0", well=True)
    assert found["database"]["found"].startswith(("SQLite 3", "PostgreSQL 1"))


def test_no_secret_is_shown(tmp_path: Path) -> None:
    url = "postgresql://someone:hush1@127.0.0.1:9/x?password=hush2"
    found = rota(
        "doctor", "--json", "--data-dir", str(tmp_path), "--database", url,
        ROTA_BOOTSTRAP_API_KEY="hush3-0123456789abc", ROTA_SEAL_KEY="hush4",
    )  # fmt: skip
    assert "hush" not in found.stdout + found.stderr
    settings = msgspec.json.decode(found.stdout)["settings"]
    assert settings["bootstrap_api_key"] == "set"
    assert settings["database"].startswith("postgresql://someone@127.0.0.1:9/x")


BLOCKED = """#!/bin/sh
case "$*" in *--version*) echo "bubblewrap 0.11.0"; exit 0 ;; esac
echo "bwrap: No permissions to create new namespace" >&2
exit 1
"""


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")
def test_what_keeps_sandboxes_from_being_made_is_named_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "bwrap"
    program.write_text(BLOCKED)
    program.chmod(0o755)
    place = ["--data-dir", str(tmp_path / "data"), "--port", "0"]
    found = examine(*place, well=True, PATH=f"{program.parent}:{os.environ['PATH']}")["sandbox"]
    assert found["status"] == "note"
    assert "No sandbox can be made" in found["found"]
    assert "bubblewrap said: No permissions to create new namespace" in found["found"]
    assert "docs/sandboxes.md" in found["mend"]
    assert "WITHOUT any isolation" in examine(*place, "--sandbox", "unsafe-local", well=True)["sandbox"]["found"]
    assert examine(*place, "--sandbox", "off", well=True)["sandbox"]["status"] == "ok"


def test_no_active_key_is_wrong_and_can_be_mended(tmp_path: Path) -> None:
    store = ["--data-dir", str(tmp_path), "--port", "0"]
    answer("organizations", "show", "--data-dir", str(tmp_path))
    assert "rota keys create" in examine(*store, well=False)["keys"]["mend"]
    answer("keys", "create", "--data-dir", str(tmp_path))
    examine(*store, well=True)


def test_a_key_file_that_others_can_read_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "seal.key"
    file.write_text("A" * 43)
    file.chmod(0o644)
    assert "chmod 600" in examine("--data-dir", str(tmp_path), "--port", "0", well=False)["sealing key"]["mend"]
    file.chmod(0o600)
    examine("--data-dir", str(tmp_path), "--port", "0", well=True)


@pytest.mark.parametrize("text", ["", "short"])
def test_a_key_file_that_holds_no_key_is_wrong(tmp_path: Path, text: str) -> None:
    file = tmp_path / "seal.key"
    file.write_text(text)
    file.chmod(0o600)
    assert "backup" in examine("--data-dir", str(tmp_path), "--port", "0", well=False)["sealing key"]["mend"]


def test_a_port_that_another_program_holds_is_wrong(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        found = examine("--data-dir", str(tmp_path), "--port", str(other.getsockname()[1]), well=False)
    assert "another program" in found["port"]["found"]


def test_a_database_that_cannot_be_read_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "rota.db").write_text("this is no database, whatever its name may say about it")
    assert examine("--data-dir", str(tmp_path), "--port", "0", well=False)["database"]["mend"]
    found = examine("--data-dir", str(tmp_path), "--port", "0", "--database", "postgresql://127.0.0.1:9/x", well=False)
    assert found["database"]["status"] == "wrong"


def test_a_setting_that_does_not_fit_is_wrong(tmp_path: Path) -> None:
    found = examine("--data-dir", str(tmp_path), well=False, ROTA_PORT="many")
    assert "ROTA_PORT" in str(found)


def test_people_get_the_remedy_under_what_is_wrong(tmp_path: Path) -> None:
    answer("organizations", "show", "--data-dir", str(tmp_path))
    said = rota("doctor", "--data-dir", str(tmp_path), "--port", "0").stdout
    assert "wrong keys: no active key" in said
    assert "Run `rota keys create`." in said


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        ({}, "note", "scripted"),
        ({"model_base_url": "http://127.0.0.1:9/x?hush", "model_api_key": "hush"}, "ok", "127.0.0.1:9"),
        ({"model_base_url": "http://127.0.0.1:9"}, "ok", "without a key"),
        ({"model_api_key": "hush"}, "ok", "api.anthropic.com"),
        ({"model_provider": "anthropic"}, "wrong", "ROTA_MODEL_API_KEY"),
        ({"model_provider": "scripted", "model_api_key": "hush"}, "note", "although"),
    ],
)
def test_it_says_where_models_are_asked_and_asks_none(given: dict[str, str], status: str, says: str) -> None:
    found = doctor._models(load(given, {}))
    assert found.status == status
    assert says in found.found
    assert "hush" not in str(found)


def test_a_model_is_asked_when_that_is_wanted(tmp_path: Path) -> None:
    place = ("--data-dir", str(tmp_path), "--port", "0", "--ask-model", "claude-test-1")
    assert "scripted" in examine(*place, well=True)["model claude-test-1"]["found"]
    found = examine(*place, well=False, ROTA_MODEL_BASE_URL="http://127.0.0.1:9", ROTA_MODEL_API_KEY="hush")
    assert "cannot be reached" in found["model claude-test-1"]["found"]
    assert "hush" not in str(found)
