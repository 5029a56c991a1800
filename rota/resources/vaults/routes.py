"""The routes of vaults and their credentials."""

from typing import Any

from rota.http.request import Request
from rota.http.route import Route
from rota.resources.vaults import actions, credentials, validation, wire


async def create(req: Request) -> Any:
    """Make a vault."""
    return await req.write(actions.create, req.body)


async def list_(req: Request) -> Any:
    """List vaults."""
    return await req.page(actions.list_, req.query)


async def retrieve(req: Request) -> Any:
    """Fetch one vault."""
    return await req.read(actions.get, req.id)


async def update(req: Request) -> Any:
    """Change a vault."""
    return await req.write(actions.update, req.id, req.body)


async def archive(req: Request) -> Any:
    """Archive a vault."""
    return await req.write(actions.archive, req.id)


async def delete(req: Request) -> Any:
    """Delete a vault."""
    return await req.write(actions.delete, req.id)


async def create_credential(req: Request) -> Any:
    """Put a credential into a vault."""
    return await req.write(credentials.create, req.id, req.body, req.policy)


async def list_credentials(req: Request) -> Any:
    """List the credentials of a vault."""
    return await req.page(credentials.list_, req.id, req.query)


async def retrieve_credential(req: Request) -> Any:
    """Fetch one credential."""
    return await req.read(credentials.get, *req.params)


async def update_credential(req: Request) -> Any:
    """Change a credential."""
    vault_id, credential_id = req.params
    return await req.write(credentials.update, vault_id, credential_id, req.body, req.policy)


async def archive_credential(req: Request) -> Any:
    """Archive a credential."""
    return await req.write(credentials.archive, *req.params)


async def delete_credential(req: Request) -> Any:
    """Delete a credential."""
    return await req.write(credentials.delete, *req.params)


async def validate_credential(req: Request) -> Any:
    """Try a credential against its MCP server."""
    return await validation.validate(req.db, req.policy, req.who, *req.params)


_ONE = "/v1/vaults/{vault_id}"
_MANY = _ONE + "/credentials"
_IN_IT = _MANY + "/{credential_id}"

ROUTES: list[Route] = [
    Route(
        "POST", "/v1/vaults", "vaults.create", "Create a vault", create,
        wire.Vault, body=wire.CreateVault, writes=True, creates=True,
    ),
    Route(
        "GET", "/v1/vaults", "vaults.list", "List vaults, newest first", list_,
        wire.Vault, query=wire.ListVaults, paged=True,
    ),
    Route("GET", _ONE, "vaults.retrieve", "Retrieve a vault", retrieve, wire.Vault),
    Route("POST", _ONE, "vaults.update", "Update a vault", update, wire.Vault, body=wire.UpdateVault, writes=True),
    Route("DELETE", _ONE, "vaults.delete", "Delete a vault and its credentials", delete, wire.VaultDeleted, writes=True),
    Route("POST", _ONE + "/archive", "vaults.archive", "Archive a vault and its credentials", archive, wire.Vault, writes=True),
    Route(
        "POST", _MANY, "vaults.credentials.create", "Create a credential", create_credential,
        wire.Credential, body=wire.CreateCredential, writes=True, creates=True,
    ),
    Route(
        "GET", _MANY, "vaults.credentials.list", "List the credentials of a vault, newest first", list_credentials,
        wire.Credential, query=wire.ListVaults, paged=True,
    ),
    Route("GET", _IN_IT, "vaults.credentials.retrieve", "Retrieve a credential", retrieve_credential, wire.Credential),
    Route(
        "POST", _IN_IT, "vaults.credentials.update", "Update a credential", update_credential,
        wire.Credential, body=wire.UpdateCredential, writes=True,
    ),
    Route(
        "DELETE", _IN_IT, "vaults.credentials.delete", "Delete a credential", delete_credential,
        wire.CredentialDeleted, writes=True,
    ),
    Route(
        "POST", _IN_IT + "/archive", "vaults.credentials.archive", "Archive a credential", archive_credential,
        wire.Credential, writes=True,
    ),
    Route(
        "POST", _IN_IT + "/mcp_oauth_validate", "vaults.credentials.mcp_oauth_validate",
        "Try a credential against its MCP server", validate_credential, wire.CredentialValidation, writes=True,
    ),
]  # fmt: skip
