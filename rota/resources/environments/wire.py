"""Environments as they travel (contract, environments)."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from rota.base.errors import InvalidRequest
from rota.base.wire import ListQuery, Metadata, MetadataPatch, Wire

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
Description: TypeAlias = Annotated[str, Meta(max_length=1024)]
Scope: TypeAlias = Literal["organization", "account"]

_HOST = re.compile(
    r"(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)


class ListEnvironments(ListQuery):
    """Query of ``GET /v1/environments``."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    include_archived: bool = False


class DeleteEnvironment(Struct, kw_only=True):
    """Query of ``DELETE /v1/environments/{id}``."""

    force: bool = False


class UnrestrictedIn(Wire, tag="unrestricted", tag_field="type"):
    """Networking without limits, as sent."""


class LimitedIn(Wire, tag="limited", tag_field="type"):
    """Limited networking, as sent; what is omitted or null keeps its stored value, or the default."""

    allow_mcp_servers: bool | None = None
    allow_package_managers: bool | None = None
    allowed_hosts: list[str] | None = None


class PackagesIn(Wire):
    """Packages by manager, as sent; an omitted or null list keeps its stored value, or is empty."""

    type: Literal["packages"] | None = None
    apt: list[str] | None = None
    cargo: list[str] | None = None
    gem: list[str] | None = None
    go: list[str] | None = None
    npm: list[str] | None = None
    pip: list[str] | None = None


class CloudIn(Wire, tag="cloud", tag_field="type"):
    """A server-run sandbox, as sent."""

    networking: UnrestrictedIn | LimitedIn | None = None
    packages: PackagesIn | None = None


class SelfHostedIn(Wire, tag="self_hosted", tag_field="type"):
    """Tools run by the user's own workers, as sent."""


class CreateEnvironment(Wire):
    """Body of ``POST /v1/environments``. A null or omitted ``config`` is cloud with unrestricted networking."""

    name: Name
    config: CloudIn | SelfHostedIn | None = None
    description: Description | None = None
    metadata: Metadata = {}
    scope: Scope | None = None


class UpdateEnvironment(Wire):
    """Body of ``POST /v1/environments/{id}``: what is omitted stays."""

    name: Name | None | UnsetType = UNSET
    config: CloudIn | SelfHostedIn | None | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    metadata: MetadataPatch | UnsetType = UNSET
    scope: Scope | None | UnsetType = UNSET


class Unrestricted(Struct, tag="unrestricted", tag_field="type", frozen=True):
    """Networking without limits."""


class Limited(Struct, tag="limited", tag_field="type", frozen=True, kw_only=True):
    """Only the named hosts; a ``*.`` entry covers every depth below, never the apex."""

    allow_mcp_servers: bool = False
    allow_package_managers: bool = False
    allowed_hosts: list[str] = []

    def admits(self, host: str) -> bool:
        """Whether a host is among the allowed ones (contract, environments: the dot boundary counts)."""
        host = host.lower().rstrip(".")
        return any(
            host.endswith(entry[1:]) and len(host) >= len(entry) if entry.startswith("*.") else host == entry
            for entry in (entry.lower() for entry in self.allowed_hosts)
        )


class Packages(Struct, frozen=True, kw_only=True):
    """Packages by manager."""

    type: Literal["packages"] = "packages"
    apt: list[str] = []
    cargo: list[str] = []
    gem: list[str] = []
    go: list[str] = []
    npm: list[str] = []
    pip: list[str] = []

    def any(self) -> bool:
        """Whether any package is listed."""
        return bool(self.apt or self.cargo or self.gem or self.go or self.npm or self.pip)


class Cloud(Struct, tag="cloud", tag_field="type", frozen=True, kw_only=True):
    """A server-run sandbox."""

    networking: Unrestricted | Limited = Unrestricted()
    packages: Packages = Packages()


class SelfHosted(Struct, tag="self_hosted", tag_field="type", frozen=True):
    """Tools run by the user's own workers."""


Config: TypeAlias = Cloud | SelfHosted


class Environment(Struct, tag="environment", tag_field="type", frozen=True, kw_only=True):
    """An environment as it goes out."""

    id: str
    name: str
    description: str | None
    config: Config
    metadata: Metadata
    scope: Scope
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class EnvironmentDeleted(Struct, tag="environment_deleted", tag_field="type", frozen=True):
    """What a deletion answers."""

    id: str


def resolve(given: CloudIn | SelfHostedIn | None, stored: Config | None = None) -> Config:
    """The whole configuration from what was sent over what is stored. InvalidRequest if they do not go together."""
    if given is None:
        return stored or Cloud()
    if isinstance(given, SelfHostedIn):
        if isinstance(stored, Cloud):
            raise _type_change("Cloud", "BYOC")
        return SelfHosted()
    if isinstance(stored, SelfHosted):
        raise _type_change("BYOC", "Cloud")
    base = stored or Cloud()
    config = Cloud(
        networking=_networking(given.networking, base.networking), packages=_packages(given.packages, base.packages)
    )
    limited = config.networking
    if isinstance(limited, Limited) and config.packages.any() and not limited.allow_package_managers:
        raise InvalidRequest(
            "config.networking.allow_package_managers: must be true when packages are listed under limited networking"
        )
    return config


def _networking(given: UnrestrictedIn | LimitedIn | None, stored: Unrestricted | Limited) -> Unrestricted | Limited:
    if given is None:
        return stored
    if isinstance(given, UnrestrictedIn):
        return Unrestricted()
    base = stored if isinstance(stored, Limited) else Limited()
    for index, host in enumerate(given.allowed_hosts or ()):
        if len(host) > 253 or not _HOST.fullmatch(host):
            raise InvalidRequest(
                f"config.networking.allowed_hosts[{index}]: must be a host name such as api.example.com or *.example.com, "
                "without scheme, port or path"
            )
    return Limited(**_merged(given, base, "allow_mcp_servers", "allow_package_managers", "allowed_hosts"))


def _packages(given: PackagesIn | None, stored: Packages) -> Packages:
    if given is None:
        return stored
    for name in ("apt", "cargo", "gem", "go"):
        if getattr(given, name):
            raise InvalidRequest(
                f"config.packages.{name}: not supported by this server; it installs pip and npm packages, and what else the "
                "sandbox should have belongs on the server's own machine"
            )
    return Packages(**_merged(given, stored, "apt", "cargo", "gem", "go", "npm", "pip"))


def _merged(given: Struct, stored: Struct, *names: str) -> dict[str, Any]:
    return {name: getattr(stored, name) if getattr(given, name) is None else getattr(given, name) for name in names}


def _type_change(old: str, new: str) -> InvalidRequest:
    return InvalidRequest(
        f"Cannot change environment type from {old} to {new}", details={"error_code": "invalid_config_type_change"}
    )
