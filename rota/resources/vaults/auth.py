"""How a credential authenticates, as it is kept and shown: there is no place for a secret in it (contract, vaults)."""

from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

SecretField: TypeAlias = Literal["access_token", "refresh_token", "client_secret", "token", "secret_value"]
Secrets: TypeAlias = dict[SecretField, str]


class NoClientSecret(Struct, tag="none", tag_field="type", frozen=True):
    """The token endpoint knows the client by its id alone."""


class ClientSecretBasic(Struct, tag="client_secret_basic", tag_field="type", frozen=True):
    """The client's secret goes into an Authorization header."""


class ClientSecretPost(Struct, tag="client_secret_post", tag_field="type", frozen=True):
    """The client's secret goes into the body."""


class TokenRefresh(Struct, frozen=True, kw_only=True):
    """How access tokens are renewed."""

    client_id: str
    token_endpoint: str
    token_endpoint_auth: NoClientSecret | ClientSecretBasic | ClientSecretPost
    scope: str | None = None
    resource: str | None = None


class McpOauth(Struct, tag="mcp_oauth", tag_field="type", frozen=True, kw_only=True):
    """An OAuth credential. ``expires_at`` is absent where nobody knows (contract)."""

    mcp_server_url: str
    expires_at: datetime | UnsetType = UNSET
    refresh: TokenRefresh | None = None


class StaticBearer(Struct, tag="static_bearer", tag_field="type", frozen=True):
    """A static token."""

    mcp_server_url: str


class AnyHost(Struct, tag="unrestricted", tag_field="type", frozen=True):
    """Every host that the environment lets through."""


class ListedHosts(Struct, tag="limited", tag_field="type", frozen=True):
    """The listed hosts only; a ``*.`` entry covers every depth below, never the apex."""

    allowed_hosts: list[str]


class Injection(Struct, frozen=True):
    """Where in a request the secret may be put."""

    header: bool = True
    body: bool = True


class EnvironmentVariable(Struct, tag="environment_variable", tag_field="type", frozen=True, kw_only=True):
    """A variable of the sandbox whose value is put into requests on their way out."""

    secret_name: str
    networking: AnyHost | ListedHosts
    injection_location: Injection


Auth: TypeAlias = McpOauth | StaticBearer | EnvironmentVariable
