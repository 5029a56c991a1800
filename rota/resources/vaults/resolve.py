"""From how a credential's authentication was sent to what is kept of it, and its secrets (contract, vaults).

Pure. Secrets leave here by the name of their field, to be sealed; no refusal holds one.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct

from rota.base.clock import from_datetime, to_datetime
from rota.base.errors import InvalidRequest
from rota.outgoing import guard
from rota.outgoing.failures import ForbiddenAddress
from rota.resources.vaults import given as sent
from rota.resources.vaults.auth import (
    AnyHost,
    Auth,
    ClientSecretBasic,
    ClientSecretPost,
    EnvironmentVariable,
    Injection,
    ListedHosts,
    McpOauth,
    NoClientSecret,
    Secrets,
    StaticBearer,
    TokenRefresh,
)

A = TypeVar("A", bound=Struct)


def resolve(given: sent.AuthIn, now: int) -> tuple[Auth, Secrets]:
    """What is kept of a new credential, and its secrets. ``now`` in microseconds UTC. InvalidRequest."""
    match given:
        case sent.McpOauthIn():
            check_bearer(given.access_token, "auth.access_token")
            refresh, secrets = _refresh(given.refresh)
            auth = McpOauth(
                mcp_server_url=_url(given.mcp_server_url, "auth.mcp_server_url"),
                expires_at=UNSET if given.expires_at is None else _future(given.expires_at, now),
                refresh=refresh,
            )
            return auth, {"access_token": given.access_token, **secrets}
        case sent.StaticBearerIn():
            check_bearer(given.token, "auth.token")
            return StaticBearer(_url(given.mcp_server_url, "auth.mcp_server_url")), {"token": given.token}
        case sent.EnvironmentVariableIn():
            where = given.injection_location
            variable = EnvironmentVariable(
                secret_name=given.secret_name,
                networking=_networking(given.networking),
                injection_location=Injection() if where is UNSET else _injection(Injection(where.header, where.body)),
            )
            return variable, {"secret_value": given.secret_value}


def change(stored: Auth, given: sent.AuthUpdate, now: int) -> tuple[Auth, Secrets]:
    """What a credential becomes, and the secrets that replace stored ones. InvalidRequest."""
    match stored, given:
        case McpOauth(), sent.McpOauthUpdate():
            return _change_oauth(stored, given, now)
        case StaticBearer(), sent.StaticBearerUpdate():
            if given.token is None:
                return stored, {}
            check_bearer(given.token, "auth.token")
            return stored, {"token": given.token}
        case EnvironmentVariable(), sent.EnvironmentVariableUpdate():
            auth = stored
            if given.networking is not None:
                auth = msgspec.structs.replace(auth, networking=_networking(given.networking))
            if given.injection_location is not UNSET:
                auth = msgspec.structs.replace(
                    auth, injection_location=_injection(_over(stored.injection_location, given.injection_location))
                )
            return auth, {} if given.secret_value is None else {"secret_value": given.secret_value}
        case _:
            raise InvalidRequest("auth.type: does not match this credential's stored type")


def target_of(auth: Auth) -> str:
    """What a credential is for, in one spelling; unique among the active ones of a vault."""
    if isinstance(auth, EnvironmentVariable):
        return f"variable {auth.secret_name}"
    return target_of_url(auth.mcp_server_url)


def target_of_url(url: str) -> str:
    """The same for the URL of an MCP server: scheme and host in small letters, no default port, no slash at the end.

    ForbiddenAddress for a URL that could never be asked, and so has no credential.
    """
    target = guard.parse(url)
    path, mark, query = target.path.partition("?")
    return f"url {target.scheme}://{target.authority}{path.rstrip('/')}{mark}{query}"


def check_bearer(token: str, at: str) -> None:
    """A token goes into a header as it is. InvalidRequest, without the token, if a header cannot carry it."""
    if not (token.isascii() and token.isprintable()) or token != token.strip():
        raise InvalidRequest(f"{at}: must be printable ASCII characters, without spaces at its ends")


def _refresh(given: sent.TokenRefreshIn | None) -> tuple[TokenRefresh | None, Secrets]:
    if given is None:
        return None, {}
    secrets: Secrets = {"refresh_token": given.refresh_token}
    match given.token_endpoint_auth:
        case sent.NoClientSecretIn():
            client: NoClientSecret | ClientSecretBasic | ClientSecretPost = NoClientSecret()
        case sent.ClientSecretBasicIn(client_secret):
            client, secrets["client_secret"] = ClientSecretBasic(), client_secret
        case sent.ClientSecretPostIn(client_secret):
            client, secrets["client_secret"] = ClientSecretPost(), client_secret
    refresh = TokenRefresh(
        client_id=given.client_id,
        token_endpoint=_url(given.token_endpoint, "auth.refresh.token_endpoint"),
        token_endpoint_auth=client,
        scope=given.scope,
        resource=given.resource,
    )
    return refresh, secrets


def _change_oauth(stored: McpOauth, given: sent.McpOauthUpdate, now: int) -> tuple[Auth, Secrets]:
    auth, secrets = stored, Secrets()
    if given.access_token is not None:
        check_bearer(given.access_token, "auth.access_token")
        secrets["access_token"] = given.access_token
    if given.expires_at is not UNSET:
        expires_at = UNSET if given.expires_at is None else _future(given.expires_at, now)
        auth = msgspec.structs.replace(auth, expires_at=expires_at)
    if given.refresh is None:
        return auth, secrets
    refresh = stored.refresh
    if refresh is None:
        raise InvalidRequest("auth.refresh: this credential was created without refresh capability")
    if given.refresh.refresh_token is not None:
        secrets["refresh_token"] = given.refresh.refresh_token
    if given.refresh.scope is not None:
        refresh = msgspec.structs.replace(refresh, scope=given.refresh.scope or None)
    client = given.refresh.token_endpoint_auth
    if client is not UNSET:
        if isinstance(refresh.token_endpoint_auth, NoClientSecret):
            raise InvalidRequest(
                "auth.refresh.token_endpoint_auth: this credential was created without a client secret"
            )
        if client.client_secret is not None:
            secrets["client_secret"] = client.client_secret
    return msgspec.structs.replace(auth, refresh=refresh), secrets


def _future(moment: datetime, now: int) -> datetime:
    instant = from_datetime(moment)
    if instant <= now:
        raise InvalidRequest("auth.expires_at must be in the future.")
    try:
        return to_datetime(instant)
    except OverflowError:  # the last evening of the year 9999, west of Greenwich
        raise InvalidRequest("auth.expires_at: not a valid RFC 3339 datetime") from None


def _url(url: str, at: str) -> str:
    try:
        guard.parse(url)
    except ForbiddenAddress as exc:
        raise InvalidRequest(f"{at}: {exc}") from None
    return url


def _networking(given: sent.AnyHostIn | sent.ListedHostsIn) -> AnyHost | ListedHosts:
    if isinstance(given, sent.AnyHostIn):
        return AnyHost()
    check_hosts(given.allowed_hosts, "auth.networking.allowed_hosts")
    return ListedHosts(given.allowed_hosts)


def check_hosts(hosts: Sequence[str], at: str) -> None:
    """Each is a host name, an IPv4 address, or ``*.`` and a host name. InvalidRequest."""
    for index, host in enumerate(hosts):
        try:
            name = host.removeprefix("*.")
            plain, address = guard.host(name)
            if plain != name.lower() or (address is not None and (name != host or address.version != 4)):
                raise ForbiddenAddress("it is another spelling, or an address that cannot be")
        except ForbiddenAddress:
            raise InvalidRequest(
                f"{at}[{index}]: must be a host name such as api.example.com, an IPv4 address, or *.example.com, "
                "without scheme, port or path"
            ) from None


def _injection(where: Injection) -> Injection:
    if not (where.header or where.body):
        raise InvalidRequest("auth.injection_location: at least one of header and body must be true")
    return where


def _over(stored: A, given: Struct) -> A:
    sent: dict[str, Any] = {
        name: value for name in given.__struct_fields__ if (value := getattr(given, name)) is not UNSET
    }
    return msgspec.structs.replace(stored, **sent)
