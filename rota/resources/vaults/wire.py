"""Vaults and credentials as they travel (contract, vaults). How a credential authenticates is in ``given`` and ``auth``."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base.wire import ListQuery, Metadata, MetadataPatch, Wire
from rota.resources.vaults.auth import Auth
from rota.resources.vaults.given import AuthIn, AuthUpdate

MAX_CREDENTIALS = 20
"""Active credentials that a vault may hold."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]


class ListVaults(ListQuery):
    """Query of ``GET /v1/vaults``, and of the list of a vault's credentials."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    include_archived: bool = False


class CreateVault(Wire):
    """Body of ``POST /v1/vaults``."""

    display_name: Name
    metadata: Metadata = {}


class UpdateVault(Wire):
    """Body of ``POST /v1/vaults/{id}``: what is omitted or null stays."""

    display_name: Name | None = None
    metadata: MetadataPatch | None = None


class CreateCredential(Wire):
    """Body of ``POST /v1/vaults/{id}/credentials``."""

    auth: AuthIn
    display_name: Annotated[str, Meta(max_length=255)] | None = None
    metadata: Metadata = {}


class UpdateCredential(Wire):
    """Body of ``POST /v1/vaults/{id}/credentials/{id}``: what is omitted stays; a null ``display_name`` takes it away."""

    auth: AuthUpdate | UnsetType = UNSET
    display_name: Name | None | UnsetType = UNSET
    metadata: MetadataPatch | None = None


class Vault(Struct, tag="vault", tag_field="type", frozen=True, kw_only=True):
    """A vault as it goes out."""

    id: str
    display_name: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class VaultDeleted(Struct, tag="vault_deleted", tag_field="type", frozen=True):
    """What the deletion of a vault answers."""

    id: str


class Credential(Struct, tag="vault_credential", tag_field="type", frozen=True, kw_only=True):
    """A credential as it goes out: everything but its secrets."""

    id: str
    vault_id: str
    display_name: str | None
    auth: Auth
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class CredentialDeleted(Struct, tag="vault_credential_deleted", tag_field="type", frozen=True):
    """What the deletion of a credential answers."""

    id: str


class HttpResponse(Struct, frozen=True):
    """What another host answered, as far as it is shown: cut short, and without the secrets that we know of."""

    status_code: int
    content_type: str
    body: str
    body_truncated: bool


class McpProbe(Struct, frozen=True):
    """The step of an MCP probe that failed. ``http_response`` is null if there was none."""

    method: str
    http_response: HttpResponse | None


class RefreshOutcome(Struct, frozen=True):
    """How an exchange of a refresh token ended. ``http_response`` is what the token endpoint said instead of a token."""

    status: Literal["succeeded", "failed", "connect_error", "no_refresh_token"]
    http_response: HttpResponse | None = None


class CredentialValidation(Struct, tag="vault_credential_validation", tag_field="type", frozen=True, kw_only=True):
    """What a probe of a credential against its MCP server found out."""

    credential_id: str
    vault_id: str
    status: Literal["valid", "invalid", "unknown"]
    has_refresh_token: bool
    mcp_probe: McpProbe | None
    refresh: RefreshOutcome | None
    validated_at: datetime
