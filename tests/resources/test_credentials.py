"""Credentials of a vault, as the contract has them: what is taken, what is shown, and that no secret ever is."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.base.seal import Place
from rota.resources.vaults import credentials as actions
from rota.store.tx import Query, Tx
from tests.api import Api
from tests.resources.credentials import OAUTH, REFRESH, STATIC, URL, VARIABLE, announced, credential, kept, path, vault

FULL_OAUTH = {
    **OAUTH,
    "expires_at": "2026-03-03T13:00:00+01:00",
    "refresh": {**REFRESH, "scope": "a b", "resource": URL},
}


def test_each_kind_is_shown_without_its_secrets(api: Api) -> None:
    one = vault(api)
    shown = credential(api, one, FULL_OAUTH, display_name="Mail", metadata={"a": "b"})
    assert shown == {
        "type": "vault_credential",
        "id": shown["id"],
        "vault_id": one,
        "display_name": "Mail",
        "metadata": {"a": "b"},
        "created_at": "2026-03-02T12:00:00Z",
        "updated_at": "2026-03-02T12:00:00Z",
        "archived_at": None,
        "auth": {
            "type": "mcp_oauth",
            "mcp_server_url": URL,
            "expires_at": "2026-03-03T12:00:00Z",
            "refresh": {
                "client_id": "client-1",
                "token_endpoint": "https://login.example.com/token",
                "token_endpoint_auth": {"type": "client_secret_basic"},
                "scope": "a b",
                "resource": URL,
            },
        },
    }
    assert shown["id"].startswith("vcrd_01")
    assert api.get(path(one, shown["id"])).ok() == shown
    static = credential(api, vault(api))
    assert static["auth"] == {"type": "static_bearer", "mcp_server_url": URL}
    assert (static["display_name"], static["metadata"]) == (None, {})
    variable = credential(api, one, VARIABLE)
    assert variable["auth"] == {
        "type": "environment_variable",
        "secret_name": "API_TOKEN",
        "networking": {"type": "unrestricted"},
        "injection_location": {"header": True, "body": True},
    }
    plain = credential(api, vault(api), OAUTH)
    assert plain["auth"] == {"type": "mcp_oauth", "mcp_server_url": URL, "refresh": None}
    assert announced(api)[1] == ("vault_credential.created", shown["id"], {"vault_id": one})


@pytest.mark.parametrize("kind", ["none", "client_secret_basic", "client_secret_post"])
def test_a_token_endpoint_is_told_who_asks_in_one_of_three_ways(still_api: Api, kind: str) -> None:
    given = {"type": kind} | ({} if kind == "none" else {"client_secret": "client-secret"})
    shown = credential(still_api, vault(still_api), {**OAUTH, "refresh": {**REFRESH, "token_endpoint_auth": given}})
    assert shown["auth"]["refresh"]["token_endpoint_auth"] == {"type": kind}


def without(auth: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in auth.items() if key != name}


def limited(*hosts: str) -> dict[str, Any]:
    return {**VARIABLE, "networking": {"type": "limited", "allowed_hosts": list(hosts)}}


WORDS: list[tuple[dict[str, Any], str]] = [
    ({}, "auth: Field required"),
    ({"auth": {}}, "auth.type: Field required"),
    ({"auth": {"type": "password"}}, 'auth.type: "password" is not a valid value'),
    ({"auth": "token"}, "auth: expected object, got string"),
    ({"auth": STATIC, "name": "x"}, "name: Extra inputs are not permitted"),
    ({"auth": {**STATIC, "expires_at": None}}, "auth.expires_at: Extra inputs are not permitted"),
    ({"auth": STATIC, "display_name": "d" * 256}, "display_name: maximum string length is 255"),
    *[({"auth": without(STATIC, name)}, f"auth.{name}: Field required") for name in ("mcp_server_url", "token")],
    *[({"auth": without(OAUTH, name)}, f"auth.{name}: Field required") for name in ("mcp_server_url", "access_token")],
    *[({"auth": without(VARIABLE, name)}, f"auth.{name}: Field required") for name in ("secret_name", "secret_value", "networking")],
    *[
        ({"auth": {**OAUTH, "refresh": without(REFRESH, name)}}, f"auth.refresh.{name}: Field required")
        for name in ("client_id", "refresh_token", "token_endpoint", "token_endpoint_auth")
    ],
    ({"auth": {**STATIC, "token": ""}}, "auth.token: minimum string length is 1"),
    ({"auth": {**STATIC, "token": "t" * 8193}}, "auth.token: maximum string length is 8192"),
    ({"auth": {**STATIC, "token": "to\nken"}}, "auth.token: must be printable ASCII characters, without spaces at its ends"),
    ({"auth": {**STATIC, "token": "tökén"}}, "auth.token: must be printable ASCII characters, without spaces at its ends"),
    ({"auth": {**OAUTH, "access_token": " token"}}, "auth.access_token: must be printable ASCII characters, without spaces at its ends"),
    ({"auth": {**STATIC, "mcp_server_url": "https://e.example/" + "u" * 2030}}, "auth.mcp_server_url: maximum string length is 2047"),
    ({"auth": {**STATIC, "mcp_server_url": "mcp.example.com"}}, "auth.mcp_server_url: this is not a URL such as https://example.com/path"),
    ({"auth": {**STATIC, "mcp_server_url": "https://user:pw@mcp.example.com"}}, "auth.mcp_server_url: the URL holds a user name or password; write it without"),
    ({"auth": {**STATIC, "mcp_server_url": "ftp://mcp.example.com"}}, "auth.mcp_server_url: the scheme ftp is not https"),
    ({"auth": {**OAUTH, "expires_at": "2026-03-02T12:00:00Z"}}, "auth.expires_at must be in the future."),
    ({"auth": {**OAUTH, "expires_at": "9999-12-31T23:59:59-12:00"}}, "auth.expires_at: not a valid RFC 3339 datetime"),
    ({"auth": {**OAUTH, "expires_at": "tomorrow"}}, "auth.expires_at: not a valid RFC 3339 datetime"),
    ({"auth": {**OAUTH, "refresh": {**REFRESH, "token_endpoint": "/token"}}}, "auth.refresh.token_endpoint: this is not a URL such as https://example.com/path"),
    ({"auth": {**OAUTH, "refresh": {**REFRESH, "token_endpoint_auth": {"type": "client_secret_post"}}}}, "auth.refresh.token_endpoint_auth.client_secret: Field required"),
    ({"auth": {**OAUTH, "refresh": {**REFRESH, "token_endpoint_auth": {"type": "none", "client_secret": "x"}}}}, "auth.refresh.token_endpoint_auth.client_secret: Extra inputs are not permitted"),
    ({"auth": {**OAUTH, "refresh": {**REFRESH, "scope": ""}}}, "auth.refresh.scope: minimum string length is 1"),
    ({"auth": {**VARIABLE, "secret_value": "v" * 4097}}, "auth.secret_value: maximum string length is 4096"),
    ({"auth": {**VARIABLE, "secret_name": "A=B"}}, "auth.secret_name: must match the pattern ^[A-Za-z_][A-Za-z0-9_]*$"),
    ({"auth": {**VARIABLE, "secret_name": "1A"}}, "auth.secret_name: must match the pattern ^[A-Za-z_][A-Za-z0-9_]*$"),
    ({"auth": {**VARIABLE, "networking": {"type": "limited"}}}, "auth.networking.allowed_hosts: Field required"),
    ({"auth": limited(*["a.example"] * 17)}, "auth.networking.allowed_hosts: value must contain no more than 16 item(s)"),
    *[
        ({"auth": limited("a.example", host)}, "auth.networking.allowed_hosts[1]: must be a host name such as api.example.com, an IPv4 address, or *.example.com, without scheme, port or path")
        for host in ("https://a.example", "a.example:443", "a.example/x", "", "*", "*.", "a b", "a..b", "[::1]", "::1", "*.192.0.2.1", "192.0.2", "a.example.", "ä.example", "*.*.example")
    ],
    ({"auth": {**VARIABLE, "injection_location": {}}}, "auth.injection_location: at least one of header and body must be true"),
    ({"auth": {**VARIABLE, "injection_location": {"header": False, "body": False}}}, "auth.injection_location: at least one of header and body must be true"),
    ({"auth": {**VARIABLE, "injection_location": None}}, "auth.injection_location: expected object, got null"),
    ({"auth": {**VARIABLE, "injection_location": {"query": True}}}, "auth.injection_location.query: Extra inputs are not permitted"),
]  # fmt: skip


@pytest.fixture(scope="module")
def still_vault(still_api: Api) -> str:
    return vault(still_api)


@pytest.mark.parametrize(
    ("body", "message"), WORDS, ids=[f"{n} {message[:60]}" for n, (_, message) in enumerate(WORDS)]
)
def test_what_is_no_credential_is_refused(still_api: Api, still_vault: str, body: dict[str, Any], message: str) -> None:
    refused = still_api.post(path(still_vault), body)
    assert refused.refused(400) == message
    assert not any(
        str(secret) in refused.raw.decode() for secret in ("-token-0001", "secret-value", "client-secret-0001")
    )


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"header": True}, {"header": True, "body": False}),
        ({"body": True}, {"header": False, "body": True}),
        ({"header": True, "body": True}, {"header": True, "body": True}),
    ],
)
def test_an_injection_place_that_is_left_out_is_none(
    still_api: Api, sent: dict[str, bool], shown: dict[str, bool]
) -> None:
    auth = {**VARIABLE, "injection_location": sent}
    assert credential(still_api, vault(still_api), auth)["auth"]["injection_location"] == shown


def test_listed_hosts_are_kept_as_sent(still_api: Api) -> None:
    hosts = ["api.example.com", "192.0.2.1", "*.Example.com", "localhost"]
    assert credential(still_api, vault(still_api), limited(*hosts))["auth"]["networking"] == {
        "type": "limited",
        "allowed_hosts": hosts,
    }


# One for each target


@pytest.mark.parametrize(
    "url",
    [
        "https://mcp.example.com/mcp",
        "https://mcp.example.com/mcp/",
        "https://MCP.Example.COM/mcp",
        "HTTPS://mcp.example.com:443/mcp//",
        "https://mcp.example.com./mcp",
    ],
)
@pytest.mark.parametrize("auth", [STATIC, OAUTH])
def test_a_server_has_one_active_credential_however_its_url_is_spelled(
    still_api: Api, url: str, auth: dict[str, Any]
) -> None:
    one = vault(still_api)
    credential(still_api, one)
    refused = still_api.post(path(one), {"auth": {**auth, "mcp_server_url": url}})
    assert refused.refused(409) == "A credential already exists for this MCP server URL."
    assert refused.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "url",
    [
        "http://mcp.example.com/mcp",
        "https://mcp.example.com:8443/mcp",
        "https://mcp.example.com/MCP",
        "https://mcp.example.com/mcp?x",
        "https://mcp.example.com/",
        "https://example.com/mcp",
    ],
)
def test_another_server_is_another_server(still_api: Api, url: str) -> None:
    one = vault(still_api)
    credential(still_api, one)
    credential(still_api, one, {**STATIC, "mcp_server_url": url})


def test_a_variable_has_one_active_credential_and_names_are_spelled_one_way(api: Api) -> None:
    one = vault(api)
    first = credential(api, one, VARIABLE)
    again = api.post(path(one), {"auth": VARIABLE}).refused(409)
    assert again == "A credential already exists for this secret name."
    credential(api, one, {**VARIABLE, "secret_name": "api_token"})
    credential(api, vault(api), VARIABLE)
    api.post(path(one, first["id"], "/archive")).ok()
    second = credential(api, one, VARIABLE)
    api.delete(path(one, second["id"])).ok()
    credential(api, one, VARIABLE)


def test_a_vault_holds_twenty_active_credentials(api: Api) -> None:
    one = vault(api)
    made = [credential(api, one, {**VARIABLE, "secret_name": f"V{n}"})["id"] for n in range(20)]
    full = api.post(path(one), {"auth": STATIC}).refused(400)
    assert full == "The vault already has 20 active credentials, which is the most; archive or delete one."
    api.post(path(one, made[0], "/archive")).ok()
    credential(api, one, STATIC)
    assert len(api.get(path(one), query={"limit": 100}).ok()["data"]) == 20


def test_of_many_at_once_one_wins(api: Api) -> None:
    one = vault(api)
    answers = api.gather([api.call("POST", path(one), {"auth": STATIC}) for _ in range(8)])
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    names = api.gather([api.call("POST", path(one), {"auth": {**VARIABLE, "secret_name": f"V{n}"}}) for n in range(24)])
    assert sorted(answer.status for answer in names) == [200] * 19 + [400] * 5


# Changes


def test_metadata_and_name_change_without_the_secrets(api: Api, clock: HandClock) -> None:
    one = vault(api)
    made = credential(api, one, FULL_OAUTH, display_name="Mail", metadata={"a": "1"})
    clock.advance(seconds=1)
    body = {"display_name": "Post", "metadata": {"a": None, "b": "2"}}
    changed = api.post(path(one, made["id"]), body).ok()
    assert changed == {**made, "display_name": "Post", "metadata": {"b": "2"}, "updated_at": "2026-03-02T12:00:01Z"}
    clock.advance(seconds=1)
    for nothing in ({}, {"metadata": None}, {"display_name": "Post"}, {"auth": {"type": "mcp_oauth"}}):
        assert api.post(path(one, made["id"]), nothing).ok() == changed
    assert api.post(path(one, made["id"]), {"display_name": None}).ok()["display_name"] is None


def opened(api: Api, vault_id: str, credential_id: str) -> dict[str, str]:
    """The secrets as whoever uses them gets them."""
    return dict(api.read(actions.held, api.who, vault_id, credential_id, api.house.app.policy).secrets)


def test_each_secret_is_replaced_by_itself(api: Api) -> None:
    one = vault(api)
    oauth = credential(api, one, FULL_OAUTH)["id"]
    before = {
        "access_token": "access-token-0001",
        "refresh_token": "refresh-token-0001",
        "client_secret": "client-secret-0001",
    }
    assert opened(api, one, oauth) == before
    for change, after in [
        ({"access_token": "access-2"}, {"access_token": "access-2"}),
        ({"refresh": {"refresh_token": "refresh-2"}}, {"refresh_token": "refresh-2"}),
        ({"refresh": {"token_endpoint_auth": {"type": "client_secret_basic", "client_secret": "client-2"}}}, {"client_secret": "client-2"}),
        ({"access_token": None, "refresh": {"refresh_token": None, "token_endpoint_auth": {"type": "client_secret_basic", "client_secret": None}}}, {}),
        ({"refresh": None}, {}),
    ]:  # fmt: skip
        shown = api.post(path(one, oauth), {"auth": {"type": "mcp_oauth", **change}}).ok()
        assert "2" not in str(shown["auth"]["refresh"]["token_endpoint_auth"])
        before |= after
        assert opened(api, one, oauth) == before
    other = vault(api)
    static = credential(api, other)["id"]
    api.post(path(other, static), {"auth": {"type": "static_bearer", "token": "token-2"}}).ok()
    assert opened(api, other, static) == {"token": "token-2"}
    variable = credential(api, one, VARIABLE)["id"]
    api.post(path(one, variable), {"auth": {"type": "environment_variable", "secret_value": "value-2"}}).ok()
    assert opened(api, one, variable) == {"secret_value": "value-2"}


def test_a_client_secret_keeps_the_way_in_which_it_is_sent(api: Api) -> None:
    """The contract: the type sent with a new secret may be the other one."""
    one = vault(api)
    made = credential(api, one, FULL_OAUTH)["id"]
    change = {"token_endpoint_auth": {"type": "client_secret_post", "client_secret": "client-2"}}
    shown = api.post(path(one, made), {"auth": {"type": "mcp_oauth", "refresh": change}}).ok()
    assert shown["auth"]["refresh"]["token_endpoint_auth"] == {"type": "client_secret_basic"}
    assert opened(api, one, made)["client_secret"] == "client-2"


def test_expiry_and_scope_are_set_kept_and_cleared(api: Api) -> None:
    one = vault(api)
    made = credential(api, one, FULL_OAUTH)["id"]

    def change(**fields: Any) -> dict[str, Any]:
        return api.post(path(one, made), {"auth": {"type": "mcp_oauth", **fields}}).ok()["auth"]

    assert change(access_token="access-2")["expires_at"] == "2026-03-03T12:00:00Z"
    assert change(expires_at="2026-04-01T00:00:00Z")["expires_at"] == "2026-04-01T00:00:00Z"
    assert "expires_at" not in change(expires_at=None)
    assert change(refresh={"scope": "c"})["refresh"]["scope"] == "c"
    assert change(refresh={"scope": None})["refresh"]["scope"] == "c"
    assert change(refresh={"scope": ""})["refresh"]["scope"] is None


def test_a_variable_is_restricted_and_moved(api: Api) -> None:
    one = vault(api)
    made = credential(api, one, VARIABLE)["id"]

    def change(**fields: Any) -> Any:
        return api.post(path(one, made), {"auth": {"type": "environment_variable", **fields}})

    hosts = {"type": "limited", "allowed_hosts": ["a.example"]}
    assert change(networking=hosts).ok()["auth"]["networking"] == hosts
    assert change(networking=None).ok()["auth"]["networking"] == hosts
    assert change(injection_location={"body": False}).ok()["auth"]["injection_location"] == {
        "header": True,
        "body": False,
    }
    assert change(injection_location={}).ok()["auth"]["injection_location"] == {"header": True, "body": False}
    none = "auth.injection_location: at least one of header and body must be true"
    assert change(injection_location={"header": False}).refused(400) == none
    assert change(injection_location=None).refused(400) == "auth.injection_location: expected object, got null"
    assert change(injection_location={"header": False, "body": True}).ok()["auth"]["injection_location"] == {
        "header": False,
        "body": True,
    }
    assert change(networking={"type": "unrestricted"}).ok()["auth"]["networking"] == {"type": "unrestricted"}


@pytest.mark.parametrize(
    ("made", "change", "message"),
    [
        (STATIC, {"type": "mcp_oauth", "access_token": "x"}, "auth.type: does not match this credential's stored type"),
        (OAUTH, {"type": "static_bearer"}, "auth.type: does not match this credential's stored type"),
        (VARIABLE, {"type": "static_bearer", "token": "x"}, "auth.type: does not match this credential's stored type"),
        (STATIC, {"type": "static_bearer", "mcp_server_url": URL}, "auth.mcp_server_url: Extra inputs are not permitted"),
        (VARIABLE, {"type": "environment_variable", "secret_name": "X"}, "auth.secret_name: Extra inputs are not permitted"),
        (FULL_OAUTH, {"type": "mcp_oauth", "refresh": {"client_id": "x"}}, "auth.refresh.client_id: Extra inputs are not permitted"),
        (FULL_OAUTH, {"type": "mcp_oauth", "refresh": {"token_endpoint_auth": {"type": "none"}}}, 'auth.refresh.token_endpoint_auth.type: "none" is not a valid value'),
        (FULL_OAUTH, {"type": "mcp_oauth", "expires_at": "2026-03-02T11:59:59Z"}, "auth.expires_at must be in the future."),
        (OAUTH, {"type": "mcp_oauth", "refresh": {"refresh_token": "x"}}, "auth.refresh: this credential was created without refresh capability"),
        ({**OAUTH, "refresh": {**REFRESH, "token_endpoint_auth": {"type": "none"}}}, {"type": "mcp_oauth", "refresh": {"token_endpoint_auth": {"type": "client_secret_post", "client_secret": "x"}}}, "auth.refresh.token_endpoint_auth: this credential was created without a client secret"),
        (STATIC, {"type": "static_bearer", "token": "a\tb"}, "auth.token: must be printable ASCII characters, without spaces at its ends"),
        (STATIC, None, "auth: expected object, got null"),
    ],
)  # fmt: skip
def test_what_cannot_change_does_not(still_api: Api, made: dict[str, Any], change: Any, message: str) -> None:
    one = vault(still_api)
    before = credential(still_api, one, made)
    assert still_api.post(path(one, before["id"]), {"auth": change}).refused(400) == message
    assert still_api.get(path(one, before["id"])).ok() == before


def test_archiving_forgets_the_secrets_and_keeps_the_record(api: Api, clock: HandClock) -> None:
    one = vault(api)
    made = credential(api, one, FULL_OAUTH)
    assert [field for _, field in kept(api)] == ["access_token", "client_secret", "refresh_token"]
    clock.advance(seconds=1)
    archived = api.post(path(one, made["id"], "/archive")).ok()
    assert archived == {**made, "archived_at": "2026-03-02T12:00:01Z", "updated_at": "2026-03-02T12:00:01Z"}
    assert kept(api) == []
    clock.advance(seconds=1)
    assert api.post(path(one, made["id"], "/archive")).ok() == archived
    assert api.post(path(one, made["id"]), {"display_name": "x"}).refused(400) == "Credential is archived."
    assert announced(api)[-1] == ("vault_credential.archived", made["id"], {"vault_id": one})
    assert api.delete(path(one, made["id"])).ok() == {"id": made["id"], "type": "vault_credential_deleted"}
    assert announced(api)[-1] == ("vault_credential.deleted", made["id"], {"vault_id": one})


def test_a_credential_is_found_in_its_own_vault_only(api: Api) -> None:
    one, other = vault(api), vault(api)
    made = credential(api, one)["id"]
    for method, where, body in [
        ("GET", "", None),
        ("POST", "", {"display_name": "x"}),
        ("DELETE", "", None),
        ("POST", "/archive", None),
        ("POST", "/mcp_oauth_validate", None),
    ]:
        answer = api.run(api.call(method, path(other, made, where), body))
        assert answer.refused(404, "not_found_error") == "Credential not found."


def test_credentials_are_listed_newest_first_and_by_page(api: Api) -> None:
    one = vault(api)
    made: list[str] = []
    for number in range(24):
        made.append(credential(api, one, {**VARIABLE, "secret_name": f"V{number}"})["id"])
        if number < 8:
            api.post(path(one, made[-1], "/archive")).ok()
    first = api.get(path(one), query={"include_archived": "true"}).ok()
    assert [each["id"] for each in first["data"]] == made[:3:-1]
    rest = api.get(path(one), query={"include_archived": "true", "page": first["next_page"]}).ok()
    assert ([each["id"] for each in rest["data"]], rest["next_page"]) == (made[3::-1], None)
    assert [each["id"] for each in api.get(path(one)).ok()["data"]] == made[:7:-1]
    for limit in (0, 101):
        api.get(path(one), query={"limit": limit}).refused(400)


# Sealed


def test_a_secret_opens_nowhere_but_in_its_own_row_and_field(api: Api) -> None:
    one = vault(api)
    first = credential(api, one, FULL_OAUTH)["id"]
    second = credential(api, one, {**VARIABLE})["id"]

    def swap(tx: Tx, source: tuple[str, str], target: tuple[str, str]) -> None:
        copy = Query(
            "Copy.",
            """UPDATE vault_secrets SET sealed = (SELECT sealed FROM vault_secrets WHERE credential_id = :a AND field = :b)
               WHERE credential_id = :c AND field = :d""",
        )
        tx.run(copy, a=source[0], b=source[1], c=target[0], d=target[1])

    for source, target in [
        ((first, "access_token"), (second, "secret_value")),
        ((first, "access_token"), (first, "refresh_token")),
    ]:
        api.write(swap, source, target)
        with pytest.raises(ValueError, match="does not belong to this row and field"):
            opened(api, one, target[0])


def test_a_moved_envelope_is_told_to_nobody_but_the_log(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    one = vault(api)
    made = credential(api, one)["id"]

    def spoil(tx: Tx) -> None:
        sealed = api.house.app.policy.sealer.get().seal("elsewhere", Place("vault_secrets/other"))
        tx.run(Query("Spoil.", "UPDATE vault_secrets SET sealed = :sealed"), sealed=sealed)

    api.write(spoil)
    answer = api.post(path(one, made, "/mcp_oauth_validate"))
    assert answer.status == 500
    assert answer.body["error"]["message"] == "Internal server error."
    assert "does not belong to this row and field" in "".join(capfd.readouterr())


def test_a_lost_key_is_a_clear_error(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    one = vault(api)
    made = credential(api, one)["id"]
    key_file = api.settings.seal_key_path
    lost = api.house.app.policy.sealer.get().current
    key_file.unlink()
    key_file.write_text("A" * 43)
    answer = api.post(path(one, made, "/mcp_oauth_validate"))
    assert answer.status == 500
    assert "no longer has the key that it was sealed with" in answer.body["error"]["message"]
    assert lost in "".join(capfd.readouterr())
    assert api.get(path(one, made)).ok()["id"] == made, "what needs no secret goes on"


# Found for a server


def test_the_first_vault_with_a_match_has_the_credential(api: Api) -> None:
    one, two, three = vault(api), vault(api), vault(api)
    second = credential(api, two)["id"]
    third = credential(api, three, OAUTH)["id"]
    archived = credential(api, one)["id"]
    api.post(path(one, archived, "/archive")).ok()
    credential(api, one, VARIABLE)
    other = credential(api, one, {**STATIC, "mcp_server_url": "https://other.example"})["id"]
    urls = ["https://MCP.example.com/mcp/", URL, "https://other.example/", "https://nobody.example/", "not a url"]
    found = api.read(actions.find_for_urls, [one, two, three], urls)
    assert found == {urls[0]: (two, second), urls[1]: (two, second), urls[2]: (one, other)}
    assert api.read(actions.find_for_urls, [three, two], [URL]) == {URL: (three, third)}
    assert api.read(actions.find_for_urls, [], [URL]) == {}


def test_a_repeated_request_with_a_key_makes_one_credential(api: Api) -> None:
    one = vault(api)
    headers = {"idempotency-key": "once"}
    first = api.post(path(one), {"auth": STATIC}, headers=headers).ok()
    assert api.post(path(one), {"auth": STATIC}, headers=headers).ok() == first
    assert len(api.get(path(one)).ok()["data"]) == 1
