"""What users of the official client get of vaults, at three versions, sync and async, from a real server."""

from tests.acceptance.conftest import Story
from tests.acceptance.test_journey import bad_request, not_found, refused


def test_a_vault_lives_from_its_making_to_its_end(story: Story) -> None:
    seen = story.seen["vaults"]
    made, spare = seen["made"], seen["spare"]
    assert (made["display_name"], made["metadata"], made["archived_at"]) == (
        f"{story.style} keys",
        {"floor": "2", "team": "x"},
        None,
    )
    assert seen["retrieved"] == made
    assert seen["updated"] == {
        **made,
        "display_name": f"{story.style} ring",
        "metadata": {"floor": "2"},
        "updated_at": seen["updated"]["updated_at"],
    }
    assert seen["listed"][:2] == [spare["id"], made["id"]]
    assert seen["archived"] == {
        **seen["updated"],
        "archived_at": seen["archived"]["archived_at"],
        "updated_at": seen["archived"]["archived_at"],
    }
    assert seen["archived again"] == seen["archived"]
    assert (seen["listed live"][0], made["id"] in seen["listed live"]) == (spare["id"], False)
    assert seen["listed all"][:2] == [spare["id"], made["id"]]
    assert seen["deleted"] == {"id": spare["id"], "type": "vault_deleted"}
    not_found(seen["retrieved deleted"], "Vault not found.")
    bad_request(seen["no name"], "display_name: minimum string length is 1")


def test_archiving_a_vault_archives_what_is_in_it(story: Story) -> None:
    seen = story.seen["vaults"]
    assert seen["credentials of an archived one"] == []
    everything = seen["all credentials of an archived one"]
    inside = seen["credentials"]
    assert [each["id"] for each in everything] == [inside["variable"]["id"], inside["oauth"]["id"]]
    assert everything[1]["archived_at"] == seen["archived"]["archived_at"]
    assert everything[0]["archived_at"] < seen["archived"]["archived_at"]
    bad_request(seen["credential in an archived one"], "Vault is archived.")


def test_credentials_show_everything_but_their_secrets(story: Story) -> None:
    seen = story.seen["vaults"]["credentials"]
    oauth, vault = seen["oauth"], story.seen["vaults"]["made"]["id"]
    assert (oauth["type"], oauth["vault_id"], oauth["display_name"], oauth["metadata"]) == (
        "vault_credential",
        vault,
        "Mail",
        {"a": "1"},
    )
    auth = oauth["auth"]
    assert set(auth) == {"type", "mcp_server_url", "expires_at", "refresh"}
    assert auth["expires_at"] == "2036-01-01T00:00:00Z"
    refresh = auth["refresh"]
    assert set(refresh) == {"client_id", "token_endpoint", "token_endpoint_auth", "scope", "resource"}
    assert refresh["token_endpoint_auth"] == {"type": "client_secret_post"}
    assert seen["static"]["auth"] == {"type": "static_bearer", "mcp_server_url": "https://calendar.example.com/"}
    assert seen["variable"]["auth"] == {
        "type": "environment_variable",
        "secret_name": "API_TOKEN",
        "networking": {"type": "limited", "allowed_hosts": ["api.example.com", "*.example.org"]},
        "injection_location": {"header": True, "body": False},
    }
    assert seen["retrieved"] == oauth
    assert "of-the-journey" not in str(seen)


def test_a_credential_is_changed_archived_and_deleted(story: Story) -> None:
    seen = story.seen["vaults"]["credentials"]
    variable, updated = seen["variable"], seen["updated"]
    assert updated == {
        **variable,
        "display_name": "Token",
        "metadata": {"b": "2"},
        "auth": {
            **variable["auth"],
            "networking": {"type": "unrestricted"},
            "injection_location": {"header": True, "body": True},
        },
        "updated_at": updated["updated_at"],
    }
    assert seen["listed"] == [variable["id"], seen["static"]["id"], seen["oauth"]["id"]]
    assert seen["archived"]["archived_at"] is not None
    assert seen["archived again"] == seen["archived"]
    assert seen["listed live"] == [seen["static"]["id"], seen["oauth"]["id"]]
    assert seen["deleted"] == {"id": seen["static"]["id"], "type": "vault_credential_deleted"}


def test_a_credential_is_tried_and_renewed(story: Story) -> None:
    seen = story.seen["vaults"]["credentials"]
    told = seen["validated"]
    assert (told["status"], told["mcp_probe"], told["has_refresh_token"]) == ("valid", None, True)
    assert told["refresh"] == {"status": "succeeded", "http_response": None}
    assert told["credential_id"] == seen["oauth"]["id"]
    assert seen["renewed"]["auth"]["expires_at"] < seen["oauth"]["auth"]["expires_at"]
    bad = seen["invalid"]
    assert (bad["status"], bad["refresh"]["status"]) == ("invalid", "failed")
    assert bad["mcp_probe"]["method"] == "initialize"
    assert bad["mcp_probe"]["http_response"]["body"] == '{"error": "Bearer [redacted]"}'
    assert bad["refresh"]["http_response"]["status_code"] == 400


def test_vaults_refuse_what_they_must(story: Story) -> None:
    seen = story.seen["vaults"]["credentials"]
    refused(
        seen["duplicate"],
        "ConflictError",
        409,
        "invalid_request_error",
        "A credential already exists for this MCP server URL.",
    )
    not_found(seen["under another vault"], "Credential not found.")
    not_found(seen["retrieved deleted"], "Credential not found.")
    not_found(seen["in an unknown vault"], "Vault not found.")
    bad_request(seen["other kind"], "auth.type: does not match this credential's stored type")
