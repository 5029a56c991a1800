"""Vaults, as the contract has them."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.resources.vaults import actions
from tests.api import Api
from tests.resources.credentials import OAUTH, REFRESH, STATIC, VARIABLE, announced, credential, kept, path, vault

NEVER = "vlt_01AAAAAAAAAAAAAAAAAAAAAA"


def test_a_vault_is_made_and_read(api: Api) -> None:
    made = api.post("/v1/vaults", {"display_name": "Office keys", "metadata": {"floor": "2"}}).ok()
    assert made == {
        "type": "vault",
        "id": made["id"],
        "display_name": "Office keys",
        "metadata": {"floor": "2"},
        "created_at": "2026-03-02T12:00:00Z",
        "updated_at": "2026-03-02T12:00:00Z",
        "archived_at": None,
    }
    assert made["id"].startswith("vlt_01")
    assert api.get(f"/v1/vaults/{made['id']}").ok() == made
    assert announced(api) == [("vault.created", made["id"], None)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "display_name: Field required"),
        ({"display_name": ""}, "display_name: minimum string length is 1"),
        ({"display_name": "d" * 256}, "display_name: maximum string length is 255"),
        ({"display_name": None}, "display_name: expected string, got null"),
        ({"display_name": "x", "name": "y"}, "name: Extra inputs are not permitted"),
        ({"display_name": "x", "description": "y"}, "description: Extra inputs are not permitted"),
        ({"display_name": "x", "metadata": {f"k{n}": "" for n in range(17)}}, "invalid metadata: metadata map would have 17 entries, exceeding the maximum of 16"),
        ({"display_name": "x", "metadata": {"k" * 65: ""}}, "invalid metadata: keys must have 1 to 64 characters"),
        ({"display_name": "x", "metadata": {"k": "v" * 513}}, 'invalid metadata: the value of "k" is longer than 512 characters'),
    ],
)  # fmt: skip
def test_what_is_no_vault_is_refused(still_api: Api, body: dict[str, Any], message: str) -> None:
    assert still_api.post("/v1/vaults", body).refused(400) == message


def test_an_update_changes_what_is_sent_and_nothing_else(api: Api, clock: HandClock) -> None:
    one = vault(api, metadata={"a": "1", "b": "2"})
    clock.advance(seconds=1)
    changed = api.post(f"/v1/vaults/{one}", {"display_name": "New", "metadata": {"a": None, "c": "3"}}).ok()
    assert (changed["display_name"], changed["metadata"]) == ("New", {"b": "2", "c": "3"})
    assert changed["updated_at"] == "2026-03-02T12:00:01Z"
    clock.advance(seconds=1)
    for nothing in ({}, {"display_name": None, "metadata": None}, {"display_name": "New", "metadata": {"b": "2"}}):
        assert api.post(f"/v1/vaults/{one}", nothing).ok() == changed
    assert [event for event, _, _ in announced(api)] == ["vault.created"]


def test_archiving_takes_the_credentials_along_and_forgets_their_secrets(api: Api, clock: HandClock) -> None:
    one, other = vault(api), vault(api)
    first, second = credential(api, one, STATIC), credential(api, one, VARIABLE)
    done = credential(api, one, {**OAUTH, "mcp_server_url": "https://other.example/"})
    api.post(path(one, done["id"], "/archive")).ok()
    elsewhere = credential(api, other)
    clock.advance(seconds=1)
    archived = api.post(f"/v1/vaults/{one}/archive").ok()
    assert archived["archived_at"] == archived["updated_at"] == "2026-03-02T12:00:01Z"
    clock.advance(seconds=1)
    assert api.post(f"/v1/vaults/{one}/archive").ok() == archived
    assert api.get(f"/v1/vaults/{one}").ok() == archived
    for each in (first, second):
        found = api.get(path(one, each["id"])).ok()
        assert found == {**each, "archived_at": archived["archived_at"], "updated_at": archived["archived_at"]}
    assert api.get(path(one, done["id"])).ok()["archived_at"] == "2026-03-02T12:00:00Z"
    assert api.get(path(other, elsewhere["id"])).ok() == elsewhere
    assert kept(api) == [(elsewhere["id"], "token")]
    told = announced(api)
    assert told.count(("vault.archived", one, None)) == 1
    assert sorted(id_ for event, id_, data in told if event == "vault_credential.archived" and data == {"vault_id": one}) == sorted(
        [first["id"], second["id"], done["id"]]
    )  # fmt: skip


def test_an_archived_vault_only_reads_and_goes(api: Api) -> None:
    one = vault(api)
    held = credential(api, one)
    api.post(f"/v1/vaults/{one}/archive").ok()
    assert api.post(f"/v1/vaults/{one}", {"display_name": "x"}).refused(400) == "Vault is archived."
    assert api.post(path(one), {"auth": VARIABLE}).refused(400) == "Vault is archived."
    assert api.post(path(one, held["id"]), {"display_name": "x"}).refused(400) == "Vault is archived."
    assert api.get(path(one)).ok()["data"] == []
    assert [each["id"] for each in api.get(path(one) + "?include_archived=true").ok()["data"]] == [held["id"]]
    assert api.post(path(one, held["id"], "/archive")).ok()["archived_at"] is not None
    assert api.delete(path(one, held["id"])).ok()["type"] == "vault_credential_deleted"


def test_deleting_leaves_nothing(api: Api) -> None:
    one, other = vault(api), vault(api)
    inside = [credential(api, one, auth)["id"] for auth in ({**OAUTH, "refresh": REFRESH}, VARIABLE)]
    elsewhere = credential(api, other)["id"]
    assert api.delete(f"/v1/vaults/{one}").ok() == {"id": one, "type": "vault_deleted"}
    assert api.get(f"/v1/vaults/{one}").refused(404, "not_found_error") == "Vault not found."
    assert api.delete(f"/v1/vaults/{one}").refused(404, "not_found_error") == "Vault not found."
    assert api.get(path(one, inside[0])).refused(404, "not_found_error") == "Vault not found."
    assert kept(api) == [(elsewhere, "token")]
    told = announced(api)
    assert ("vault.deleted", one, None) in told
    assert sorted(
        id_ for event, id_, data in told if event == "vault_credential.deleted" and data == {"vault_id": one}
    ) == sorted(inside)


def test_vaults_are_listed_newest_first_and_by_page(api: Api) -> None:
    made = [vault(api) for _ in range(25)]
    api.post(f"/v1/vaults/{made[3]}/archive").ok()
    live = [each for each in reversed(made) if each != made[3]]
    first = api.get("/v1/vaults").ok()
    assert [each["id"] for each in first["data"]] == live[:20]
    rest = api.get("/v1/vaults", query={"page": first["next_page"]}).ok()
    assert ([each["id"] for each in rest["data"]], rest["next_page"]) == (live[20:], None)
    everything = api.get("/v1/vaults", query={"include_archived": "true", "limit": 100}).ok()
    assert [each["id"] for each in everything["data"]] == list(reversed(made))
    for limit in (0, 101):
        api.get("/v1/vaults", query={"limit": limit}).refused(400)


def test_another_workspaces_vault_is_not_there(api: Api) -> None:
    from rota.resources.workspaces import actions as workspaces
    from rota.resources.workspaces import keys
    from rota.resources.workspaces.wire import CreateWorkspace

    one = vault(api)
    held = credential(api, one)["id"]
    admin = api.who.__class__(organization_id=api.who.organization_id, workspace_id="", key_id="", scope="admin")
    elsewhere = api.write(workspaces.create, admin, CreateWorkspace(name="other"))
    key = api.write(lambda tx: keys.create(tx, api.who.organization_id, workspace_id=elsewhere.id)).key
    for method, where, body in [
        ("GET", f"/v1/vaults/{one}", None),
        ("POST", f"/v1/vaults/{one}", {"display_name": "x"}),
        ("DELETE", f"/v1/vaults/{one}", None),
        ("POST", f"/v1/vaults/{one}/archive", None),
        ("GET", path(one), None),
        ("POST", path(one), {"auth": STATIC}),
        ("GET", path(one, held), None),
        ("POST", path(one, held), {"display_name": "x"}),
        ("DELETE", path(one, held), None),
        ("POST", path(one, held, "/archive"), None),
        ("POST", path(one, held, "/mcp_oauth_validate"), None),
    ]:
        theirs = api.run(api.call(method, where, body, key=key)).refused(404, "not_found_error")
        nobodys = api.run(api.call(method, where.replace(one, NEVER), body)).refused(404, "not_found_error")
        assert theirs == nobodys == "Vault not found."
    assert api.run(api.call("GET", "/v1/vaults?include_archived=true", key=key)).ok()["data"] == []
    assert api.get(path(one, held)).ok()["archived_at"] is None


def test_facts_of_vaults_are_told_as_a_set(api: Api) -> None:
    live, archived = vault(api), vault(api)
    api.post(f"/v1/vaults/{archived}/archive").ok()
    found = api.read(actions.find_many, [live, archived, NEVER])
    assert found == {
        live: actions.Facts(live, api.who.workspace_id, archived=False),
        archived: actions.Facts(archived, api.who.workspace_id, archived=True),
    }
    assert api.read(actions.find_many, []) == {}
