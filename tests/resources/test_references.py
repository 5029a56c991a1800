"""What sessions and deployments name besides their agent and environment: vaults and skills that are there or not."""

from typing import Any

import pytest

from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.resources.workspaces.wire import CreateWorkspace
from rota.store.tx import Tx
from tests.api import HELLO, Api

Json = dict[str, Any]
NO_VAULT = "vlt_01AbCdEfGhJkLmNpQrStUvWx"
REFERENCED = "Referenced vault not found or not accessible."


def vault(api: Api, **more: Any) -> str:
    return api.post("/v1/vaults", {"display_name": "Keys"}, **more).ok()["id"]


def archived(api: Api) -> str:
    vault_id = vault(api)
    api.post(f"/v1/vaults/{vault_id}/archive").ok()
    return vault_id


def foreign(api: Api) -> str:
    """A vault of another workspace."""

    def stranger(tx: Tx) -> str:
        workspace = workspaces.create(tx, api.who, CreateWorkspace(name="second"))
        return keys.create(tx, api.who.organization_id, workspace_id=workspace.id).key

    return vault(api, key=api.write(stranger))


def test_vaults_are_kept_in_the_order_in_which_they_were_named(api: Api) -> None:
    vaults = [vault(api) for _ in range(3)][::-1]
    body = {"agent": api.agent()["id"], "environment_id": api.environment()["id"]}
    session = api.post("/v1/sessions", body | {"vault_ids": vaults}).ok()
    deployment = api.deployment(vault_ids=vaults)
    fired = api.get(f"/v1/sessions/{api.fire(deployment)['session_id']}").ok()
    assert session["vault_ids"] == deployment["vault_ids"] == fired["vault_ids"] == vaults


@pytest.mark.parametrize(
    "find", [lambda _: NO_VAULT, lambda _: "nonsense", archived, foreign], ids=["no", "x", "old", "theirs"]
)
def test_a_deployment_may_only_name_live_vaults_of_its_workspace(still_api: Api, find: Any) -> None:
    api = still_api
    good, bad = vault(api), find(api)
    deployment = api.deployment(vault_ids=[good])
    body = {"name": "n", "agent": deployment["agent"]["id"], "environment_id": deployment["environment_id"]}
    body |= {"initial_events": HELLO, "vault_ids": [good, bad]}
    assert api.post("/v1/deployments", body).refused(404, "not_found_error") == REFERENCED
    path = f"/v1/deployments/{deployment['id']}"
    assert api.post(path, {"vault_ids": [bad]}).refused(404, "not_found_error") == REFERENCED
    assert api.get(path).ok() == deployment
    assert api.post(path, {"vault_ids": None}).ok()["vault_ids"] == []


def test_a_deployment_whose_vault_went_may_still_be_changed_otherwise(still_api: Api) -> None:
    api = still_api
    gone = vault(api)
    deployment = api.deployment(vault_ids=[gone])
    api.delete(f"/v1/vaults/{gone}").ok()
    changed = api.post(f"/v1/deployments/{deployment['id']}", {"name": "other"}).ok()
    assert (changed["name"], changed["vault_ids"]) == ("other", [gone])


@pytest.mark.parametrize(
    ("find", "status", "message"),
    [
        (lambda _: NO_VAULT, 404, "Vault `{}` not found."),
        (foreign, 404, "Vault `{}` not found."),
        (archived, 400, "Vault `{}` is archived."),
    ],
    ids=["no", "theirs", "old"],
)
def test_a_session_may_only_have_live_vaults_of_its_workspace(
    still_api: Api, find: Any, status: int, message: str
) -> None:
    api = still_api
    bad = find(api)
    body = {"agent": api.agent()["id"], "environment_id": api.environment()["id"], "vault_ids": [vault(api), bad]}
    kind = "not_found_error" if status == 404 else "invalid_request_error"
    assert api.post("/v1/sessions", body).refused(status, kind) == message.format(bad)


def test_a_session_that_runs_keeps_its_vaults_whatever_becomes_of_them(still_api: Api) -> None:
    api = still_api
    body = {"agent": api.agent()["id"], "environment_id": api.environment()["id"], "vault_ids": [vault(api)]}
    session = api.post("/v1/sessions", body).ok()
    api.post(f"/v1/vaults/{session['vault_ids'][0]}/archive").ok()
    api.delete(f"/v1/vaults/{session['vault_ids'][0]}").ok()
    assert api.get(f"/v1/sessions/{session['id']}").ok()["vault_ids"] == session["vault_ids"]
