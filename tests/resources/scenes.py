"""A deployment that names one of everything, and the sixteen ways to break it: one for each run error."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rota.base.clock import MINUTE
from rota.resources.deployment_runs.wire import ErrorType
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.store.tx import Query, Tx
from tests.api import HELLO, Api, Response
from tests.forms import file
from tests.resources.zips import manifest

Json = dict[str, Any]
READING = {"type": "agent_toolset_20260401"}
SERVERS = [{"type": "url", "name": "docs", "url": "https://mcp.example.com/sse"}]
SITE = {"type": "github_repository", "url": "https://github.com/acme/site", "authorization_token": "t0ken"}
TABLES = {
    "sqlite": Query("Tables.", "SELECT name FROM sqlite_master WHERE type = 'table'"),
    "postgres": Query("Tables.", "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"),
}
FAULT = {
    "sqlite": [
        """CREATE TRIGGER planted BEFORE INSERT ON session_threads
           BEGIN SELECT RAISE(ABORT, 'a planted fault'); END"""
    ],
    "postgres": [
        """CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'a planted fault'; END $$""",
        "CREATE TRIGGER planted BEFORE INSERT ON session_threads FOR EACH ROW EXECUTE FUNCTION planted()",
    ],
}
NO_FAULT = {"sqlite": ["DROP TRIGGER planted"], "postgres": ["DROP FUNCTION planted CASCADE"]}


def count_rows(api: Api) -> dict[str, int]:
    """How many rows every table has."""

    def count(tx: Tx) -> dict[str, int]:
        names = [row[0] for row in tx.all(TABLES[api.house.db.name])]
        return {name: tx.all(Query("Rows.", f"SELECT count(*) FROM {name}"))[0][0] for name in names}

    return api.read(count)


def run_sql(api: Api, texts: list[str]) -> None:
    """Statements that no request could make."""
    api.write(lambda tx: [tx.run(Query("Done to the server.", text)) for text in texts])


class Scene:
    """A healthy deployment in a workspace of its own, of an agent with a roster, servers and skills, in an environment that
    lets the servers through, with vaults, files, memory stores, a repository and a budget."""

    def __init__(self, api: Api) -> None:
        self.api = api

        def admin_key(tx: Tx) -> str:
            return keys.create(tx, api.who.organization_id).key

        self.admin = api.write(admin_key)
        self.workspace_id = api.post("/v1/organizations/workspaces", {"name": "Scene"}, key=self.admin).ok()["id"]

        def key(tx: Tx) -> str:
            return keys.create(tx, api.who.organization_id, workspace_id=self.workspace_id).key

        self.key = api.write(key)
        self.vaults = [self.new("vaults", display_name=f"Vault {number}") for number in range(3)]
        self.files = [self.file(f"report {number}.csv") for number in range(2)]
        self.stores = [self.new("memory_stores", name="Notes") for _ in range(3)]
        self.skills = [self.skill(f"skill-{number}") for number in range(2)]
        networking = {"type": "limited", "allowed_hosts": ["mcp.example.com"]}
        self.environment = self.new("environments", name="office", config={"type": "cloud", "networking": networking})
        self.member = self.new("agents", name="Member", model="claude-haiku-4-5")
        self.head = self.new("agents", name="Head", model="claude-opus-5-5", **self.agent_fields())
        self.deployment = self.new(
            "deployments",
            name="Nightly",
            agent=self.head,
            environment_id=self.environment,
            initial_events=HELLO,
            vault_ids=self.vaults,
            resources=self.resources(),
            budget={"type": "limit", "max_list_cost": {"amount": "500", "currency": "USD"}},
        )

    def agent_fields(self) -> Json:
        """What the agent is made of besides its name and model."""
        return {
            "tools": [READING, {"type": "mcp_toolset", "mcp_server_name": "docs"}],
            "mcp_servers": SERVERS,
            "skills": [{"type": "custom", "skill_id": skill_id} for skill_id in self.skills]
            + [{"type": "anthropic", "skill_id": "pdf"}],
            "multiagent": {"type": "coordinator", "agents": [self.member]},
        }

    def resources(self) -> list[Json]:
        """What the deployment mounts."""
        return [
            *({"type": "file", "file_id": file_id} for file_id in self.files),
            *({"type": "memory_store", "memory_store_id": store_id} for store_id in self.stores),
            SITE,
        ]

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Response:
        """A request with the workspace's key."""
        return self.api.run(self.api.call(method, path, body, key=self.key, **more))

    def new(self, noun: str, **fields: Any) -> str:
        """A new thing; its id."""
        return self.call("POST", f"/v1/{noun}", fields).ok()["id"]

    def file(self, name: str) -> str:
        """A new file; its id."""
        return self.call("POST", "/v1/files", form=[file(b"1,2\n", name, "text/csv")]).ok()["id"]

    def skill(self, name: str) -> str:
        """A new skill; its id."""
        form = [file(manifest(name), f"{name}/SKILL.md", "application/octet-stream", name="files[]")]
        return self.call("POST", "/v1/skills", form=form).ok()["id"]

    def change(self, **fields: Any) -> None:
        """Update the deployment."""
        self.call("POST", f"/v1/deployments/{self.deployment}", fields).ok()

    def repin(self) -> None:
        """Give the agent what it is made of anew, and the deployment its newest version."""
        self.call("POST", f"/v1/agents/{self.head}", self.agent_fields()).ok()
        self.change(agent=self.head)

    def move(self) -> None:
        """Give the deployment a new environment."""
        self.environment = self.new("environments", name=f"{self.environment}, anew")
        self.change(environment_id=self.environment)

    def show(self) -> Json:
        """The deployment."""
        return self.call("GET", f"/v1/deployments/{self.deployment}").ok()

    def fire(self) -> Json:
        """A run now."""
        return self.call("POST", f"/v1/deployments/{self.deployment}/run").ok()

    def check(self) -> Json:
        """A dry run."""
        return self.call("GET", f"/rota/v1/deployments/{self.deployment}/check").ok()

    def explain(self, run: Json) -> Json:
        """Why a run came to what it did."""
        return self.call("GET", f"/rota/v1/deployment_runs/{run['id']}/explain").ok()


def set_disabled(scene: Scene, disabled: bool) -> None:
    """What `rota organizations disable` and `enable` do."""
    scene.api.write(workspaces.set_disabled, scene.api.who.organization_id, disabled)


def use_up_the_minute(scene: Scene) -> None:
    scene.new("sessions", agent=scene.head, environment_id=scene.environment)


def next_minute(scene: Scene) -> None:
    scene.api.clock.advance(seconds=60)


def archive_member(scene: Scene) -> None:
    scene.call("POST", f"/v1/agents/{scene.member}/archive").ok()


def new_member(scene: Scene) -> None:
    scene.member = scene.new("agents", name="Other", model="claude-haiku-4-5")
    scene.repin()


def self_host(scene: Scene) -> None:
    scene.environment = scene.new("environments", name="cellar", config={"type": "self_hosted"})
    scene.change(environment_id=scene.environment)


def close(scene: Scene) -> None:
    config = {"type": "cloud", "networking": {"type": "limited", "allowed_hosts": []}}
    scene.call("POST", f"/v1/environments/{scene.environment}", {"config": config}).ok()


def open_up(scene: Scene) -> None:
    config = {"type": "cloud", "networking": {"type": "limited", "allow_mcp_servers": True}}
    scene.call("POST", f"/v1/environments/{scene.environment}", {"config": config}).ok()


def overlap(scene: Scene) -> None:
    scene.change(resources=[*scene.resources(), SITE])


def without_vault(scene: Scene, index: int) -> None:
    scene.change(vault_ids=[vault_id for place, vault_id in enumerate(scene.vaults) if place != index])


def without_store(scene: Scene, index: int) -> None:
    gone = scene.stores.pop(index)
    scene.change(resources=scene.resources())
    assert gone not in scene.stores


def new_file(scene: Scene) -> None:
    scene.files[0] = scene.file("report 0.csv")
    scene.change(resources=scene.resources())


def without_skill(scene: Scene) -> None:
    scene.skills.pop(0)
    scene.repin()


def delete(noun: str, find: Callable[[Scene], str]) -> Callable[[Scene], None]:
    return lambda scene: scene.call("DELETE", f"/v1/{noun}/{find(scene)}").ok() and None


def archive(noun: str, find: Callable[[Scene], str]) -> Callable[[Scene], None]:
    return lambda scene: scene.call("POST", f"/v1/{noun}/{find(scene)}/archive").ok() and None


def archive_workspace(scene: Scene) -> None:
    path = f"/v1/organizations/workspaces/{scene.workspace_id}/archive"
    scene.api.post(path, key=scene.admin).ok()


@dataclass(frozen=True)
class Break:
    """One way to break a scene. ``takes`` are sides of it that one breakage alone can have; those of a later ``round`` shut
    the doors that earlier ones still need; ``about`` is what a dry run names, its kind and its id."""

    type: ErrorType
    message: str
    by: Callable[[Scene], None]
    mend: Callable[[Scene], None] | None
    about: Callable[[Scene], tuple[str, str | None]]
    takes: frozenset[str] = field(default_factory=frozenset)
    round: int = 1


BREAKS = [
    Break(
        "session_rate_limited_error",
        "session creation was rate limited: This organization may create 1 sessions per minute",
        use_up_the_minute,
        next_minute,
        lambda scene: ("session_limit", scene.api.who.organization_id),
        round=0,
    ),
    Break(
        "organization_disabled_error",
        "organization is disabled",
        lambda scene: set_disabled(scene, True),
        lambda scene: set_disabled(scene, False),
        lambda scene: ("organization", scene.api.who.organization_id),
        round=3,
    ),
    Break(
        "workspace_archived_error",
        "workspace is archived",
        archive_workspace,
        None,
        lambda scene: ("workspace", scene.workspace_id),
        round=2,
    ),
    Break(
        "agent_archived_error",
        "agent `{member}` is archived",
        archive_member,
        new_member,
        lambda scene: ("roster_agent", scene.member),
    ),
    Break(
        "environment_not_found_error",
        "session creation rejected: environment `{environment}` not found",
        delete("environments", lambda scene: scene.environment),
        Scene.move,
        lambda scene: ("environment", scene.environment),
        frozenset({"environment", "kind", "networking"}),
    ),
    Break(
        "environment_archived_error",
        "environment `{environment}` is archived",
        archive("environments", lambda scene: scene.environment),
        Scene.move,
        lambda scene: ("environment", scene.environment),
        frozenset({"environment"}),
    ),
    Break(
        "self_hosted_resources_unsupported_error",
        "Self-hosted environments do not support `file` and `github_repository` resources",
        self_host,
        Scene.move,
        lambda scene: ("resources", None),
        frozenset({"kind", "networking"}),
        round=0,
    ),
    Break(
        "vault_not_found_error",
        "vault `{vaults[0]}` not found",
        delete("vaults", lambda scene: scene.vaults[0]),
        lambda scene: without_vault(scene, 0),
        lambda scene: ("vault", scene.vaults[0]),
    ),
    Break(
        "vault_archived_error",
        "vault `{vaults[1]}` is archived",
        archive("vaults", lambda scene: scene.vaults[1]),
        lambda scene: without_vault(scene, 1),
        lambda scene: ("vault", scene.vaults[1]),
    ),
    Break(
        "file_not_found_error",
        "One or more files not found. Check that each `file_id` exists and is accessible: {files[0]}",
        delete("files", lambda scene: scene.files[0]),
        new_file,
        lambda scene: ("file", scene.files[0]),
    ),
    Break(
        "memory_store_archived_error",
        "session creation rejected: a referenced memory store is archived; check deployment resources",
        archive("memory_stores", lambda scene: scene.stores[0]),
        lambda scene: without_store(scene, 0),
        lambda scene: ("memory_store", scene.stores[0]),
    ),
    Break(
        "session_resource_not_found_error",
        "session creation rejected: a referenced resource was not found; check deployment configuration",
        delete("memory_stores", lambda scene: scene.stores[1]),
        lambda scene: without_store(scene, 1),
        lambda scene: ("memory_store", scene.stores[1]),
    ),
    Break(
        "skill_not_found_error",
        "skill `{skills[0]}` not found",
        delete("skills", lambda scene: scene.skills[0]),
        without_skill,
        lambda scene: ("skill", scene.skills[0]),
    ),
    Break(
        "mcp_egress_blocked_error",
        'MCP server host(s) blocked by environment network policy: "docs" (mcp.example.com)',
        close,
        open_up,
        lambda scene: ("mcp_server", "docs (mcp.example.com)"),
        frozenset({"networking"}),
        round=0,
    ),
    Break(
        "session_creation_rejected_error",
        "Invalid `github_repository` resource: `mount_path` overlaps another resource",
        overlap,
        lambda scene: scene.change(resources=scene.resources()),
        lambda scene: ("resources", None),
        round=0,
    ),
    Break(
        "unknown_error",
        "internal error",
        lambda scene: run_sql(scene.api, FAULT[scene.api.house.db.name]),
        lambda scene: run_sql(scene.api, NO_FAULT[scene.api.house.db.name]),
        lambda scene: ("deployment", scene.deployment),
    ),
]
BY_TYPE = {each.type: each for each in BREAKS}


def to_next_minute(api: Api) -> None:
    """Turn the clock to a minute in which no session was made."""
    api.clock.set(api.clock.now() // MINUTE * MINUTE + MINUTE)
