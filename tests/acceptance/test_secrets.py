"""Nothing secret reaches the log or the disk in clear, whatever goes wrong."""

from pathlib import Path

from tests.acceptance.server import KEY, Server
from tests.cli.process import answer

STRANGER = "sk-rota-api01-stranger-0123456789abcdef"
TOKEN = "ghp_canary0123456789canary0123456789"


def test_no_secret_is_in_the_log_or_in_the_database_in_clear(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    with Server(folder, database_url, ROTA_LOG_LEVEL="debug", ROTA_LOG_JSON="true") as server:
        made = answer("keys", "create", *server.place)["key"]
        deployment = server.deployment("secretive")
        found = server.ask("GET", f"/v1/deployments/{deployment}", key=made).ok()
        repository = {"type": "github_repository", "url": "https://github.com/a/b", "authorization_token": TOKEN}
        updated = server.ask("POST", f"/v1/deployments/{deployment}", {"resources": [repository]}).ok()
        run = server.ask("POST", f"/v1/deployments/{deployment}/run").ok()
        session = server.ask("GET", f"/v1/sessions/{run['session_id']}").ok()
        assert TOKEN not in str((found, updated, run, session))
        for key in (STRANGER, f"{made}x"):
            for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}, {"authorization": f"Basic {key}"}):
                server.ask("GET", "/v1/agents", key=None, headers=headers).refused(401, "authentication_error")
            server.ask("GET", f"/v1/agents?api_key={key}").ok()
            server.ask("GET", f"/v1/agents/{key}").refused(404, "not_found_error")
        bad = {"type": "github_repository", "url": "no", "authorization_token": TOKEN}
        refused = server.ask("POST", f"/v1/deployments/{deployment}", {"resources": [bad]})
        assert TOKEN not in refused.refused(400, "invalid_request_error")
        said = server.said
    for secret in (KEY, made, STRANGER, TOKEN):
        assert secret not in server.errors() + said
        for file in folder.rglob("*"):
            assert not (file.is_file() and secret.encode() in file.read_bytes()), file
    if database_url.startswith("sqlite"):
        for file in tmp_path.glob("rota.db*"):
            for secret in (KEY, made, STRANGER, TOKEN):
                assert secret.encode() not in file.read_bytes()
