"""Why a session cannot be created, one class for each reason that a deployment run tells apart.

``POST /v1/sessions`` raises them; a fire records them (``deployments.failures`` maps class to run error, exhaustively). The
classes carry what was wrong, so that each of the two can say it in its own recorded words.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias, final

from rota.base.errors import InvalidRequest, NotFound, RateLimited


@final
class OrganizationDisabled(InvalidRequest):
    """The organization is disabled."""

    def __init__(self) -> None:
        super().__init__("The organization is disabled; only reading is possible.")


@final
class WorkspaceArchived(InvalidRequest):
    """The workspace is archived."""

    def __init__(self) -> None:
        super().__init__("The workspace is archived; only reading is possible.")


@final
class AgentArchived(InvalidRequest):
    """The agent, or a member of its roster, is archived."""

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"agent {agent_id} is archived and cannot be used to create a session")
        self.agent_id = agent_id


@final
class EnvironmentNotFound(NotFound):
    """There is no such environment in the workspace."""

    def __init__(self, environment_id: str) -> None:
        super().__init__(f"Environment {environment_id} not found.")
        self.environment_id = environment_id


@final
class EnvironmentArchived(InvalidRequest):
    """The environment is archived."""

    def __init__(self, environment_id: str) -> None:
        super().__init__(f"Environment {environment_id} is archived and cannot be used to create a session.")
        self.environment_id = environment_id


@final
class SelfHostedResourcesUnsupported(InvalidRequest):
    """A self-hosted environment can mount memory stores only."""

    def __init__(self, kinds: Sequence[str]) -> None:
        named = " and ".join(f"`{kind}`" for kind in kinds)
        super().__init__(
            f"Self-hosted environments do not support {named} resources; only memory stores can be attached."
        )
        self.kinds = kinds


@final
class VaultNotFound(NotFound):
    """There is no such vault in the workspace."""

    def __init__(self, vault_id: str) -> None:
        super().__init__(f"Vault `{vault_id}` not found.")
        self.vault_id = vault_id


@final
class VaultArchived(InvalidRequest):
    """The vault is archived."""

    def __init__(self, vault_id: str) -> None:
        super().__init__(f"Vault `{vault_id}` is archived.")
        self.vault_id = vault_id


@final
class FileNotFound(NotFound):
    """Files are absent or expired; all of them are named."""

    def __init__(self, file_ids: Sequence[str]) -> None:
        super().__init__(
            "One or more files not found. Check that each `file_id` exists and is accessible: " + ", ".join(file_ids)
        )
        self.file_ids = file_ids


@final
class MemoryStoreArchived(InvalidRequest):
    """The memory store is archived."""

    def __init__(self, memory_store_id: str) -> None:
        super().__init__(f"Memory store {memory_store_id} is archived.")
        self.memory_store_id = memory_store_id


@final
class MemoryStoreNotFound(NotFound):
    """There is no such memory store in the workspace."""

    def __init__(self, memory_store_id: str) -> None:
        super().__init__(f"Memory store `{memory_store_id}` not found.")
        self.memory_store_id = memory_store_id


@final
class SkillNotFound(InvalidRequest):
    """A skill that the agent or a member of its roster names is gone, or has lost the version that it names."""

    def __init__(self, skill_id: str, version: str | None) -> None:
        self.named = f"`{skill_id}`" if version is None else f"`{skill_id}` version `{version}`"
        super().__init__(f"Skill {self.named} not found.")
        self.skill_id = skill_id
        self.version = version


@final
class McpEgressBlocked(InvalidRequest):
    """Limited networking does not let an MCP server's host through. ``servers`` are (name, host) pairs."""

    def __init__(self, servers: Sequence[tuple[str, str]]) -> None:
        named = ", ".join(f'"{name}" ({host})' for name, host in servers)
        super().__init__(
            f"MCP server host(s) blocked by environment network policy: {named}. Add these hosts to the environment's "
            "allowed_hosts, or set allow_mcp_servers=true."
        )
        self.servers = servers


About: TypeAlias = Literal["tools", "budget", "resources"]


@final
class CreationRejected(InvalidRequest):
    """Anything else that the caller can mend: mounts that overlap, a model without a price under a budget, …"""

    def __init__(self, message: str, about: About, *, details: dict[str, str] | None = None) -> None:
        super().__init__(message, details=details)
        self.about: About = about


@final
class SessionRateLimited(RateLimited):
    """Over the organization's sessions per minute."""

    def __init__(self, limit: int, retry_after: int) -> None:
        super().__init__(
            f"This organization may create {limit} sessions per minute; try again in {retry_after} s.",
            retry_after=retry_after,
        )


SessionRefusal: TypeAlias = (
    OrganizationDisabled
    | WorkspaceArchived
    | AgentArchived
    | EnvironmentNotFound
    | EnvironmentArchived
    | SelfHostedResourcesUnsupported
    | VaultNotFound
    | VaultArchived
    | FileNotFound
    | MemoryStoreArchived
    | MemoryStoreNotFound
    | SkillNotFound
    | McpEgressBlocked
    | CreationRejected
    | SessionRateLimited
)
