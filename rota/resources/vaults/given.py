"""How a credential authenticates, as sent, to create one and to change one (contract, vaults).

Every secret field is marked as one. What is left out or null in a change stays as it is, unless said otherwise.
"""

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from rota.base.wire import Secret, Wire

MAX_HOSTS = 16

Url: TypeAlias = Annotated[str, Meta(min_length=1, max_length=2047)]
Bearer: TypeAlias = Annotated[Secret, Meta(min_length=1, max_length=8192)]
RefreshToken: TypeAlias = Annotated[Secret, Meta(min_length=1, max_length=4096)]
ClientSecret: TypeAlias = Annotated[Secret, Meta(min_length=1, max_length=512)]
Value: TypeAlias = Annotated[Secret, Meta(min_length=1, max_length=4096)]
Scope: TypeAlias = Annotated[str, Meta(min_length=1, max_length=8192)]


class NoClientSecretIn(Wire, tag="none", tag_field="type"):
    """The token endpoint knows the client by its id alone."""


class ClientSecretBasicIn(Wire, tag="client_secret_basic", tag_field="type"):
    """The client's secret goes into an Authorization header."""

    client_secret: ClientSecret


class ClientSecretPostIn(Wire, tag="client_secret_post", tag_field="type"):
    """The client's secret goes into the body."""

    client_secret: ClientSecret


class TokenRefreshIn(Wire):
    """How access tokens are renewed, as sent."""

    client_id: Annotated[str, Meta(min_length=1, max_length=1024)]
    refresh_token: RefreshToken
    token_endpoint: Url
    token_endpoint_auth: NoClientSecretIn | ClientSecretBasicIn | ClientSecretPostIn
    scope: Scope | None = None
    resource: Url | None = None


class McpOauthIn(Wire, tag="mcp_oauth", tag_field="type"):
    """An OAuth access token for an MCP server, as sent."""

    mcp_server_url: Url
    access_token: Bearer
    expires_at: datetime | None = None
    refresh: TokenRefreshIn | None = None


class StaticBearerIn(Wire, tag="static_bearer", tag_field="type"):
    """A token for an MCP server that stays what it is, as sent."""

    mcp_server_url: Url
    token: Bearer


class AnyHostIn(Wire, tag="unrestricted", tag_field="type"):
    """Every host that the environment lets through."""


class ListedHostsIn(Wire, tag="limited", tag_field="type"):
    """The listed hosts only."""

    allowed_hosts: Annotated[list[str], Meta(max_length=MAX_HOSTS)]


class InjectionIn(Wire):
    """Where in a request the secret may be put, as sent; a place that is left out is none."""

    header: bool = False
    body: bool = False


class EnvironmentVariableIn(Wire, tag="environment_variable", tag_field="type"):
    """A variable of the sandbox whose value is put into requests on their way out, as sent."""

    secret_name: Annotated[str, Meta(min_length=1, max_length=255, pattern="^[A-Za-z_][A-Za-z0-9_]*$(?!\n)")]
    secret_value: Value
    networking: AnyHostIn | ListedHostsIn
    injection_location: InjectionIn | UnsetType = UNSET


AuthIn: TypeAlias = McpOauthIn | StaticBearerIn | EnvironmentVariableIn

# To change


class ClientSecretBasicUpdate(Wire, tag="client_secret_basic", tag_field="type"):
    """A new client secret. The way in which it is sent stays what it was (contract: whatever the type says)."""

    client_secret: ClientSecret | None = None


class ClientSecretPostUpdate(Wire, tag="client_secret_post", tag_field="type"):
    """As ``ClientSecretBasicUpdate``."""

    client_secret: ClientSecret | None = None


class TokenRefreshUpdate(Wire):
    """Changes to how access tokens are renewed. An empty ``scope`` takes the stored one away."""

    refresh_token: RefreshToken | None = None
    scope: Annotated[str, Meta(max_length=8192)] | None = None
    token_endpoint_auth: ClientSecretBasicUpdate | ClientSecretPostUpdate | UnsetType = UNSET


class McpOauthUpdate(Wire, tag="mcp_oauth", tag_field="type"):
    """Changes to an OAuth credential. A null ``expires_at`` means that nobody knows."""

    access_token: Bearer | None = None
    expires_at: datetime | None | UnsetType = UNSET
    refresh: TokenRefreshUpdate | None = None


class StaticBearerUpdate(Wire, tag="static_bearer", tag_field="type"):
    """Changes to a static token."""

    token: Bearer | None = None


class InjectionUpdate(Wire):
    """Changes to where the secret may be put."""

    header: bool | UnsetType = UNSET
    body: bool | UnsetType = UNSET


class EnvironmentVariableUpdate(Wire, tag="environment_variable", tag_field="type"):
    """Changes to a variable. ``networking`` replaces the stored one as a whole."""

    secret_value: Value | None = None
    networking: AnyHostIn | ListedHostsIn | None = None
    injection_location: InjectionUpdate | UnsetType = UNSET


AuthUpdate: TypeAlias = McpOauthUpdate | StaticBearerUpdate | EnvironmentVariableUpdate
