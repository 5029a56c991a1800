"""Judges raw response bodies by the installed official client's own types.

The client builds its objects without validating, so that a missing key or a wrong enum would pass unseen. Here the return
type of the very method that serves a route validates the raw JSON, strictly. Needs only ``anthropic`` and ``pydantic``,
because it also runs inside environments that have nothing else. Knows nothing of the server but its routes.
"""

import json
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anthropic
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

OPERATIONS = {
    ("POST", "/v1/deployments"): "beta.deployments.create",
    ("GET", "/v1/deployments"): "beta.deployments.list",
    ("GET", "/v1/deployments/{deployment_id}"): "beta.deployments.retrieve",
    ("POST", "/v1/deployments/{deployment_id}"): "beta.deployments.update",
    ("POST", "/v1/deployments/{deployment_id}/pause"): "beta.deployments.pause",
    ("POST", "/v1/deployments/{deployment_id}/unpause"): "beta.deployments.unpause",
    ("POST", "/v1/deployments/{deployment_id}/archive"): "beta.deployments.archive",
    ("POST", "/v1/deployments/{deployment_id}/run"): "beta.deployments.run",
    ("GET", "/v1/deployment_runs"): "beta.deployment_runs.list",
    ("GET", "/v1/deployment_runs/{deployment_run_id}"): "beta.deployment_runs.retrieve",
    ("POST", "/v1/sessions"): "beta.sessions.create",
    ("GET", "/v1/sessions"): "beta.sessions.list",
    ("GET", "/v1/sessions/{session_id}"): "beta.sessions.retrieve",
    ("POST", "/v1/sessions/{session_id}"): "beta.sessions.update",
    ("DELETE", "/v1/sessions/{session_id}"): "beta.sessions.delete",
    ("POST", "/v1/sessions/{session_id}/archive"): "beta.sessions.archive",
    ("GET", "/v1/sessions/{session_id}/events"): "beta.sessions.events.list",
    ("POST", "/v1/sessions/{session_id}/events"): "beta.sessions.events.send",
    ("GET", "/v1/sessions/{session_id}/events/stream"): "beta.sessions.events.stream",
    ("GET", "/v1/sessions/{session_id}/resources"): "beta.sessions.resources.list",
    ("POST", "/v1/sessions/{session_id}/resources"): "beta.sessions.resources.add",
    ("GET", "/v1/sessions/{session_id}/resources/{resource_id}"): "beta.sessions.resources.retrieve",
    ("POST", "/v1/sessions/{session_id}/resources/{resource_id}"): "beta.sessions.resources.update",
    ("DELETE", "/v1/sessions/{session_id}/resources/{resource_id}"): "beta.sessions.resources.delete",
    ("GET", "/v1/sessions/{session_id}/threads"): "beta.sessions.threads.list",
    ("GET", "/v1/sessions/{session_id}/threads/{thread_id}"): "beta.sessions.threads.retrieve",
    ("POST", "/v1/sessions/{session_id}/threads/{thread_id}/archive"): "beta.sessions.threads.archive",
    ("GET", "/v1/sessions/{session_id}/threads/{thread_id}/events"): "beta.sessions.threads.events.list",
    ("GET", "/v1/sessions/{session_id}/threads/{thread_id}/stream"): "beta.sessions.threads.events.stream",
    ("POST", "/v1/agents"): "beta.agents.create",
    ("GET", "/v1/agents"): "beta.agents.list",
    ("GET", "/v1/agents/{agent_id}"): "beta.agents.retrieve",
    ("POST", "/v1/agents/{agent_id}"): "beta.agents.update",
    ("POST", "/v1/agents/{agent_id}/archive"): "beta.agents.archive",
    ("GET", "/v1/agents/{agent_id}/versions"): "beta.agents.versions.list",
    ("POST", "/v1/environments"): "beta.environments.create",
    ("GET", "/v1/environments"): "beta.environments.list",
    ("GET", "/v1/environments/{environment_id}"): "beta.environments.retrieve",
    ("POST", "/v1/environments/{environment_id}"): "beta.environments.update",
    ("DELETE", "/v1/environments/{environment_id}"): "beta.environments.delete",
    ("POST", "/v1/environments/{environment_id}/archive"): "beta.environments.archive",
    ("GET", "/v1/environments/{environment_id}/work"): "beta.environments.work.list",
    ("GET", "/v1/environments/{environment_id}/work/poll"): "beta.environments.work.poll",
    ("GET", "/v1/environments/{environment_id}/work/stats"): "beta.environments.work.stats",
    ("GET", "/v1/environments/{environment_id}/work/{work_id}"): "beta.environments.work.retrieve",
    ("POST", "/v1/environments/{environment_id}/work/{work_id}"): "beta.environments.work.update",
    ("POST", "/v1/environments/{environment_id}/work/{work_id}/ack"): "beta.environments.work.ack",
    ("POST", "/v1/environments/{environment_id}/work/{work_id}/heartbeat"): "beta.environments.work.heartbeat",
    ("POST", "/v1/environments/{environment_id}/work/{work_id}/stop"): "beta.environments.work.stop",
    ("POST", "/v1/memory_stores"): "beta.memory_stores.create",
    ("GET", "/v1/memory_stores"): "beta.memory_stores.list",
    ("GET", "/v1/memory_stores/{memory_store_id}"): "beta.memory_stores.retrieve",
    ("POST", "/v1/memory_stores/{memory_store_id}"): "beta.memory_stores.update",
    ("DELETE", "/v1/memory_stores/{memory_store_id}"): "beta.memory_stores.delete",
    ("POST", "/v1/memory_stores/{memory_store_id}/archive"): "beta.memory_stores.archive",
    ("POST", "/v1/memory_stores/{memory_store_id}/memories"): "beta.memory_stores.memories.create",
    ("GET", "/v1/memory_stores/{memory_store_id}/memories"): "beta.memory_stores.memories.list",
    ("GET", "/v1/memory_stores/{memory_store_id}/memories/{memory_id}"): "beta.memory_stores.memories.retrieve",
    ("POST", "/v1/memory_stores/{memory_store_id}/memories/{memory_id}"): "beta.memory_stores.memories.update",
    ("DELETE", "/v1/memory_stores/{memory_store_id}/memories/{memory_id}"): "beta.memory_stores.memories.delete",
    ("GET", "/v1/memory_stores/{memory_store_id}/memory_versions"): "beta.memory_stores.memory_versions.list",
    ("GET", "/v1/memory_stores/{memory_store_id}/memory_versions/{memory_version_id}"): (
        "beta.memory_stores.memory_versions.retrieve"
    ),
    ("POST", "/v1/memory_stores/{memory_store_id}/memory_versions/{memory_version_id}/redact"): (
        "beta.memory_stores.memory_versions.redact"
    ),
    ("POST", "/v1/vaults"): "beta.vaults.create",
    ("GET", "/v1/vaults"): "beta.vaults.list",
    ("GET", "/v1/vaults/{vault_id}"): "beta.vaults.retrieve",
    ("POST", "/v1/vaults/{vault_id}"): "beta.vaults.update",
    ("DELETE", "/v1/vaults/{vault_id}"): "beta.vaults.delete",
    ("POST", "/v1/vaults/{vault_id}/archive"): "beta.vaults.archive",
    ("POST", "/v1/vaults/{vault_id}/credentials"): "beta.vaults.credentials.create",
    ("GET", "/v1/vaults/{vault_id}/credentials"): "beta.vaults.credentials.list",
    ("GET", "/v1/vaults/{vault_id}/credentials/{credential_id}"): "beta.vaults.credentials.retrieve",
    ("POST", "/v1/vaults/{vault_id}/credentials/{credential_id}"): "beta.vaults.credentials.update",
    ("DELETE", "/v1/vaults/{vault_id}/credentials/{credential_id}"): "beta.vaults.credentials.delete",
    ("POST", "/v1/vaults/{vault_id}/credentials/{credential_id}/archive"): "beta.vaults.credentials.archive",
    (
        "POST",
        "/v1/vaults/{vault_id}/credentials/{credential_id}/mcp_oauth_validate",
    ): "beta.vaults.credentials.mcp_oauth_validate",
    ("POST", "/v1/skills"): "beta.skills.create",
    ("GET", "/v1/skills"): "beta.skills.list",
    ("GET", "/v1/skills/{skill_id}"): "beta.skills.retrieve",
    ("DELETE", "/v1/skills/{skill_id}"): "beta.skills.delete",
    ("POST", "/v1/skills/{skill_id}/versions"): "beta.skills.versions.create",
    ("GET", "/v1/skills/{skill_id}/versions"): "beta.skills.versions.list",
    ("GET", "/v1/skills/{skill_id}/versions/{version}"): "beta.skills.versions.retrieve",
    ("DELETE", "/v1/skills/{skill_id}/versions/{version}"): "beta.skills.versions.delete",
    ("GET", "/v1/skills/{skill_id}/versions/{version}/content"): "beta.skills.versions.download",
    ("POST", "/v1/files"): "beta.files.upload",
    ("GET", "/v1/files"): "beta.files.list",
    ("GET", "/v1/files/{file_id}"): "beta.files.retrieve_metadata",
    ("GET", "/v1/files/{file_id}/content"): "beta.files.download",
    ("DELETE", "/v1/files/{file_id}"): "beta.files.delete",
    ("GET", "/v1/organizations/me"): "organization.retrieve",
    ("POST", "/v1/organizations/workspaces"): "organization.workspaces.create",
    ("GET", "/v1/organizations/workspaces"): "organization.workspaces.list",
    ("GET", "/v1/organizations/workspaces/{workspace_id}"): "organization.workspaces.retrieve",
    ("POST", "/v1/organizations/workspaces/{workspace_id}"): "organization.workspaces.update",
    ("POST", "/v1/organizations/workspaces/{workspace_id}/archive"): "organization.workspaces.archive",
    ("GET", "/v1/organizations/workspaces/{workspace_id}/rate_limits"): "organization.workspaces.rate_limits.list",
    ("GET", "/v1/organizations/api_keys"): "organization.api_keys.list",
    ("GET", "/v1/organizations/api_keys/{api_key_id}"): "organization.api_keys.retrieve",
    ("POST", "/v1/organizations/api_keys/{api_key_id}"): "organization.api_keys.update",
    ("GET", "/v1/organizations/rate_limits"): "organization.rate_limits.list",
    ("POST", "/v1/organizations/webhooks"): "beta.organization.webhooks.create",
    ("GET", "/v1/organizations/webhooks"): "beta.organization.webhooks.list",
    ("GET", "/v1/organizations/webhooks/{webhook_endpoint_id}"): "beta.organization.webhooks.retrieve",
    ("POST", "/v1/organizations/webhooks/{webhook_endpoint_id}"): "beta.organization.webhooks.update",
    ("DELETE", "/v1/organizations/webhooks/{webhook_endpoint_id}"): "beta.organization.webhooks.delete",
    ("POST", "/v1/organizations/webhooks/{webhook_endpoint_id}/regenerate_signing_secret"): (
        "beta.organization.webhooks.regenerate_signing_secret"
    ),
}
"""Method and path to the client's member that calls it."""

DOWNLOADS = frozenset({"beta.files.download", "beta.skills.versions.download"})
"""Members that answer with bytes, which no type describes."""
STREAMS = frozenset({"beta.sessions.events.stream", "beta.sessions.threads.events.stream"})
"""Members that answer with events, each of which is judged by itself."""
NEVER_ANSWERED = frozenset({"beta.sessions.threads.archive"})
"""Members that only refuse on the journeys: no session has a child thread."""

PRESENT = {
    "BetaEnvironment": {"archived_at", "description", "scope"},
    "BetaDeletedFile": {"type"},
    "BetaFileMetadata": {"downloadable", "expires_at"},
    "DeletedFile": {"type"},
    "FileMetadata": {"downloadable", "expires_at"},
    "BetaManagedAgentsAgent": {"archived_at", "description", "multiagent", "system"},
    "BetaManagedAgentsCredential": {"archived_at", "display_name"},
    "BetaManagedAgentsCredentialValidation": {"mcp_probe", "refresh"},
    "BetaManagedAgentsDeployment": {"archived_at", "description", "paused_reason", "schedule"},
    "BetaManagedAgentsDeploymentRun": {"error", "session_id"},
    "BetaManagedAgentsMemory": {"content"},
    "BetaManagedAgentsMemoryStoreResource": {"access", "description", "mount_path", "name"},
    "BetaManagedAgentsMemoryVersion": {
        "content", "content_sha256", "content_size_bytes", "created_by", "path", "redacted_at", "redacted_by",
    },
    "BetaManagedAgentsMCPOAuthAuthResponse": {"refresh"},
    "BetaManagedAgentsMCPOAuthRefreshResponse": {"resource", "scope"},
    "BetaManagedAgentsMCPProbe": {"http_response"},
    "BetaManagedAgentsModelConfig": {"effort", "inference_geo", "speed"},
    "BetaManagedAgentsOutcomeEvaluationResource": {"completed_at", "explanation"},
    "BetaManagedAgentsRefreshObject": {"http_response"},
    "BetaManagedAgentsSchedule": {"last_run_at", "upcoming_runs_at"},
    "BetaManagedAgentsSendSessionEvents": {"data"},
    "BetaManagedAgentsServerToolUsage": {"web_fetch_requests", "web_search_requests"},
    "BetaManagedAgentsSession": {"archived_at", "budget", "deployment_id", "title"},
    "BetaManagedAgentsSessionAgent": {"description", "multiagent", "system"},
    "BetaManagedAgentsSessionStats": {"active_seconds", "duration_seconds"},
    "BetaManagedAgentsSessionThread": {"archived_at", "parent_thread_id", "stats", "usage"},
    "BetaManagedAgentsSessionThreadAgent": {"description", "system"},
    "BetaManagedAgentsSessionUsage": {
        "active_seconds", "cache_creation", "cache_read_input_tokens", "input_tokens", "list_cost", "output_tokens",
        "server_tool_use",
    },
    "BetaManagedAgentsSystemMessageEvent": {"processed_at"},
    "BetaManagedAgentsUserCustomToolResultEvent": {"processed_at"},
    "BetaManagedAgentsUserDefineOutcomeEvent": {"max_iterations", "processed_at"},
    "BetaManagedAgentsUserInterruptEvent": {"processed_at"},
    "BetaManagedAgentsUserMessageEvent": {"processed_at"},
    "BetaManagedAgentsVault": {"archived_at"},
    "APIKey": {"created_by", "expires_at", "partial_key_hint", "principal"},
    "Workspace": {"archived_at", "external_key_id", "user_profile_id"},
    "BetaErrorResponse": {"request_id"},
    "SkillCreateResponse": {"display_title", "latest_version"},
    "SkillListResponse": {"display_title", "latest_version"},
    "SkillRetrieveResponse": {"display_title", "latest_version"},
    "SyncPageCursor": {"next_page"},
    "SyncBidirectionalPageCursor": {"next_page", "prev_page"},
    "SyncPage": {"first_id", "has_more", "last_id"},
}  # fmt: skip
"""Keys that must be there although the client's type has a default for them: those that the contract requires or that it
says are null. The client cannot tell an absent key from a null, other readers can. A key that a version's type does not
have is passed over."""

MEMORY_CONFLICTS = {"memory_path_conflict_error", "memory_precondition_failed_error"}
"""Error types that every version of the client names, and none has a class for: their bodies are judged as the contract
has them, under ``memory error``."""


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class MemoryPathConflict(_Open):
    """Beside the message it says, flat, who is in the way."""

    type: typing.Literal["memory_path_conflict_error"]
    message: str
    conflicting_path: str
    conflicting_memory_id: str


class MemoryPreconditionFailed(_Open):
    """Has a message."""

    type: typing.Literal["memory_precondition_failed_error"]
    message: str


class MemoryConflict(_Open):
    """The envelope."""

    type: typing.Literal["error"]
    error: MemoryPathConflict | MemoryPreconditionFailed
    request_id: str


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_IS_INSTANT = re.compile(r"\w+_at")


@dataclass
class Verdict:
    """What is wrong with one body. ``unknown`` are keys, as ``Type.key``, that the client's types do not have."""

    operation: str
    problems: list[str] = field(default_factory=list[str])
    unknown: set[str] = field(default_factory=set[str])


class Judge:
    """The types of the installed client, found by following its members' annotations."""

    def __init__(self) -> None:
        self._client = anthropic.Anthropic(api_key="unused", base_url="http://127.0.0.1:9")
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        self._routes = [
            (method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), member)
            for (method, path), member in OPERATIONS.items()
            if self.has(member)
        ]

    def close(self) -> None:
        """Let go of the client."""
        self._client.close()

    def has(self, member: str) -> bool:
        """Whether this version of the client has a member."""
        return find(self._client, member) is not None

    def members(self) -> list[str]:
        """The members of this version that call a route of ours."""
        return [member for _, _, member in self._routes]

    def operation(self, method: str, path: str) -> str:
        """The member that calls this address."""
        for candidate, pattern, member in self._routes:
            if candidate == method and pattern.fullmatch(path):
                return member
        raise LookupError(f"no member of anthropic {anthropic.__version__} calls {method} {path}")

    def check(self, method: str, path: str, status: int, raw: bytes) -> Verdict:
        """Judge the answer to a request."""
        operation = self.operation(method, path) if status < 400 else "error"
        if status == 409 and json.loads(raw)["error"]["type"] in MEMORY_CONFLICTS:
            operation = "memory error"
        return self.judge(operation, raw)

    def judge_event(self, member: str, raw: bytes) -> Verdict:
        """Judge an event that came from a member that streams."""
        if member not in self._adapters:
            [event] = typing.get_args(self._returned_type(member))
            self._adapters[member] = TypeAdapter(event)
        return self.judge(member, raw)

    def judge(self, operation: str, raw: bytes) -> Verdict:
        """Judge a body as what a member returns, or as an ``error`` or ``memory error``."""
        verdict = Verdict(operation)
        if operation not in self._adapters:
            self._adapters[operation] = TypeAdapter(self._returned_type(operation))
        try:
            value = self._adapters[operation].validate_json(raw, strict=True)
        except ValidationError as exc:
            verdict.problems += [f"{_path(error['loc'])}: {error['msg']}" for error in exc.errors(include_url=False)]
        else:
            for problem, unknown in _walk(value, ""):
                if problem:
                    verdict.problems.append(problem)
                if unknown:
                    verdict.unknown.add(unknown)
        verdict.problems += _bad_instants(json.loads(raw), "")
        return verdict

    def _returned_type(self, operation: str) -> Any:
        if operation == "error":
            return anthropic.types.BetaErrorResponse
        if operation == "memory error":
            return MemoryConflict
        return typing.get_type_hints(find(self._client, operation))["return"]


def find(client: Any, member: str) -> Any:
    """A member by its dotted name; None if this version has none."""
    found = client
    for name in member.split("."):
        found = getattr(found, name, None)
        if found is None:
            return None
    return found


def _path(where: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in where) or "body"


def _walk(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Pairs of a problem (absent key) and an unknown key, one of them empty, all the way down."""
    if isinstance(value, BaseModel):
        kind = type(value)
        name = kind.__name__.partition("[")[0]
        for key in sorted(PRESENT.get(name, set()) & set(kind.model_fields) - value.model_fields_set):
            yield f"{where}{key}: is absent, and must be there even if it is null", ""
        for key in value.model_extra or {}:
            yield "", f"{name}.{key}"
        for key in kind.model_fields:
            yield from _walk(getattr(value, key), f"{where}{key}.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, f"{where}{index}.")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, f"{where}{key}.")


def _bad_instants(value: Any, where: str) -> list[str]:
    """Every key that ends in ``_at`` holds an RFC 3339 instant in UTC, a list of them, or null, whatever the type says."""
    if isinstance(value, list):
        return [bad for index, item in enumerate(value) for bad in _bad_instants(item, f"{where}{index}.")]
    if not isinstance(value, dict):
        return []
    bad: list[str] = []
    for key, item in value.items():
        if key in ("metadata", "input_schema"):  # names in there are the user's
            continue
        if _IS_INSTANT.fullmatch(key):
            texts = item if isinstance(item, list) else [item]
            bad += [
                f"{where}{key}: {text!r} is not an instant in UTC"
                for text in texts
                if text is not None and not (isinstance(text, str) and _INSTANT.fullmatch(text))
            ]
        else:
            bad += _bad_instants(item, f"{where}{key}.")
    return bad
