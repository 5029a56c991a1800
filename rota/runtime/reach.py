"""Where commands in a sandbox may connect: from what users and operator have written down to what the driver is told. Pure."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from rota.base.errors import Unusable
from rota.base.settings import Settings
from rota.resources.environments.wire import Limited, Unrestricted
from rota.runtime.sandbox import Network


class Registries(Struct, frozen=True, kw_only=True):
    """Where packages come from. ``variables`` are what tells the package managers so."""

    hosts: tuple[str, ...]
    variables: dict[str, str]

    @property
    def network(self) -> Network:
        """The registries and nothing else."""
        return Network(kind="limited", hosts=self.hosts)


def registries(settings: Settings) -> Registries:
    """What the operator has set. Unusable."""
    hosts = [part.strip().lower() for part in settings.package_hosts.split(",") if part.strip()]
    variables: dict[str, str] = {}
    for name, variable, url in (
        ("pip_index_url", "PIP_INDEX_URL", settings.pip_index_url),
        ("npm_registry", "NPM_CONFIG_REGISTRY", settings.npm_registry),
    ):
        if url is None:
            continue
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unusable(f"ROTA_{name.upper()}: this is not the URL of a registry; write https://host/path")
        if parts.username is not None or parts.password is not None:
            raise Unusable(
                f"ROTA_{name.upper()}: it must not hold a user name or password, since every sandbox can read it; put a proxy "
                "that adds them in front of the registry"
            )
        hosts.append(parts.hostname)
        variables[variable] = url
        if parts.scheme == "http" and variable == "PIP_INDEX_URL":
            variables["PIP_TRUSTED_HOST"] = parts.hostname
    return Registries(hosts=tuple(dict.fromkeys(hosts)), variables=variables)


def network_of(networking: Unrestricted | Limited, registries: Registries, servers: Sequence[str]) -> Network:
    """What a session's box may reach. ``servers`` are the URLs of its MCP servers."""
    if not isinstance(networking, Limited):
        return Network(kind="unrestricted")
    hosts = [host.lower().rstrip(".") for host in networking.allowed_hosts]
    if networking.allow_package_managers:
        hosts += registries.hosts
    if networking.allow_mcp_servers:
        hosts += [host for url in servers if (host := urlsplit(url).hostname)]
    return Network(kind="limited", hosts=tuple(dict.fromkeys(hosts)))
