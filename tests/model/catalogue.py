"""The first half of the specification: what every request has in common, agents and environments.

Every public method is one request, made by the key of a workspace; its ``Answer`` predicts status, error type, message and
every field. Messages that the contract does not fix are left open. Written from the contract: imports nothing of ``rota``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from tests.model import rules
from tests.model.matching import ANYTHING_SAID, Fresh, Saying
from tests.model.things import Agent, Deployment, Environment, Json, Kept, Pin, Run, Session, Version, Workspace

P = ParamSpec("P")
W = TypeVar("W", bound="Catalogue")
Message = str | Saying


@dataclass
class Answer:
    """What must come back: a body, or a refusal. ``made`` is what was brought about; ``replay`` the bytes to be repeated."""

    status: int
    body: Json | None = None
    message: Message | None = None
    made: Any = None
    replay: Kept | None = None


def ok(body: Json, made: Any = None) -> Answer:
    """Done."""
    return Answer(200, body, made=made)


def refused(status: int, message: Message = ANYTHING_SAID) -> Answer:
    """Not done, and nothing has changed."""
    return Answer(status, message=message)


def write(
    operation: Callable[Concatenate[W, Workspace, P], Answer],
) -> Callable[Concatenate[W, Workspace, P], Answer]:
    """A write: refused while the organization is disabled or its workspace archived, before anything else is looked at."""

    @wraps(operation)
    def gated(world: W, who: Workspace, *args: P.args, **kwargs: P.kwargs) -> Answer:
        if world.disabled:
            return refused(400, Saying("organization is disabled"))
        if who.archived:
            return refused(400, Saying("workspace is archived"))
        return operation(world, who, *args, **kwargs)

    return gated


@dataclass
class Catalogue:
    """One organization: its workspaces, and everything in them. Nothing is ever removed from the lists, only marked."""

    now: int
    disabled: bool = False
    workspaces: list[Workspace] = field(default_factory=list[Workspace])
    agents: list[Agent] = field(default_factory=list[Agent])
    environments: list[Environment] = field(default_factory=list[Environment])
    deployments: list[Deployment] = field(default_factory=list[Deployment])
    sessions: list[Session] = field(default_factory=list[Session])
    runs: list[Run] = field(default_factory=list[Run])
    kept: dict[tuple[Workspace, str], Kept] = field(default_factory=dict[tuple[Workspace, str], Kept])
    taken: set[str] = field(default_factory=set[str])

    def new(self, prefix: str) -> Fresh:
        """An id to come."""
        return Fresh(prefix, self.taken)

    def find(self, who: Workspace, things: "Sequence[Any]", thing_id: str) -> Any:
        """The thing, or None: unknown, malformed, deleted and another workspace's cannot be told apart."""
        for thing in things:
            if thing.workspace is who and not getattr(thing, "deleted", False) and str(thing.id) == thing_id:
                return thing
        return None

    # Agents

    @write
    def create_agent(self, who: Workspace, body: Json) -> Answer:
        """The first version of an agent."""
        config = self._configure(who, rules.PLAIN_AGENT, body)
        if isinstance(config, Answer):
            return config
        agent = Agent(self.new("agent_"), who, self.now, [Version(1, self.now, config)])
        self.agents.append(agent)
        return ok(agent.show(), agent)

    @write
    def update_agent(self, who: Workspace, agent_id: str, body: Json) -> Answer:
        """A new version, unless nothing changes. A stale ``version`` conflicts even then."""
        agent = self.find(who, self.agents, agent_id)
        if agent is None:
            return refused(404)
        if agent.archived_at is not None:
            return refused(400, "Cannot modify archived agent")
        if body.get("version") not in (None, len(agent.versions)):
            return refused(409, "Concurrent modification detected. Please fetch the latest version and retry.")
        config = self._configure(who, agent.versions[-1].config, body)
        if isinstance(config, Answer):
            return config
        if config != agent.versions[-1].config:
            agent.versions.append(Version(len(agent.versions) + 1, self.now, config))
        return ok(agent.show())

    @write
    def archive_agent(self, who: Workspace, agent_id: str) -> Answer:
        """For good, and at the same instant the deployments that pin it, whatever version they pin."""
        agent = self.find(who, self.agents, agent_id)
        if agent is None:
            return refused(404)
        if agent.archived_at is None:
            agent.archived_at = self.now
            for deployment in self.deployments:
                if deployment.pin.agent is agent and deployment.archived_at is None:
                    self._archive(deployment)
        return ok(agent.show())

    def get_agent(self, who: Workspace, agent_id: str, number: int | None = None) -> Answer:
        """The latest version, or another."""
        agent = self.find(who, self.agents, agent_id)
        if agent is None:
            return refused(404)
        if number is not None and number > len(agent.versions):
            return refused(404, "Agent version not found.")
        return ok(agent.show(number))

    def _configure(self, who: Workspace, stored: Json, body: Json) -> Json | Answer:
        config = rules.configure(stored, body)
        if body.get("multiagent") is not None:
            roster = self._pin_roster(who, body["multiagent"]["agents"])
            if isinstance(roster, Answer):
                return roster
            config["multiagent"] = {"type": "coordinator", "agents": [pin.show() for pin in roster]}
        return config

    def _pin_roster(self, who: Workspace, entries: Sequence[str | Json]) -> list[Pin] | Answer:
        """Distinct live agents of the workspace, pinned; each without a roster of its own, and no two of one name."""
        asked = [(entry, None) if isinstance(entry, str) else (entry["id"], entry.get("version")) for entry in entries]
        if len({agent_id for agent_id, _ in asked}) < len(asked):
            return refused(400)
        pins: list[Pin] = []
        for agent_id, number in asked:
            agent = self.find(who, self.agents, agent_id)
            if agent is None:
                return refused(400, f"Agent has invalid configuration: subagent {agent_id} is not a valid agent ID")
            if agent.archived_at is not None:
                return refused(400, f"Agent has invalid configuration: subagent {agent_id} is archived")
            if number is not None and number > len(agent.versions):
                return refused(400)
            pins.append(Pin(agent, number or len(agent.versions)))
        if any(pin.config["multiagent"] is not None for pin in pins):
            return refused(400)
        if len({pin.config["name"] for pin in pins}) < len(pins):
            return refused(400)
        return pins

    # Environments

    @write
    def create_environment(self, who: Workspace, body: Json) -> Answer:
        """A name is taken as long as a live environment of the workspace has it."""
        if self._name_taken(who, body["name"]):
            return refused(409)
        environment = Environment(
            id=self.new("env_"),
            workspace=who,
            created_at=self.now,
            name=body["name"],
            description=body.get("description"),
            config=rules.resolve_config(body.get("config"), None),
            metadata=body.get("metadata", {}),
            updated_at=self.now,
        )
        self.environments.append(environment)
        return ok(environment.show(), environment)

    @write
    def update_environment(self, who: Workspace, environment_id: str, body: Json) -> Answer:
        """What is omitted stays; an empty text deletes a key of the metadata; the type of the configuration never changes."""
        environment = self.find(who, self.environments, environment_id)
        if environment is None:
            return refused(404, f"Environment {environment_id} not found.")
        if environment.archived_at is not None:
            return refused(400)
        sent = body.get("config")
        if sent is not None and sent["type"] != environment.config["type"]:
            names = {"cloud": "Cloud", "self_hosted": "BYOC"}
            old, new = names[environment.config["type"]], names[sent["type"]]
            return refused(400, f"Cannot change environment type from {old} to {new}")
        after = replace(
            environment,
            name=body.get("name") or environment.name,
            description=body.get("description", environment.description),
            config=rules.resolve_config(sent, environment.config),
            metadata=rules.patch(environment.metadata, body.get("metadata"), empty_deletes=True),
        )
        if after.show() != environment.show():
            if after.name != environment.name and self._name_taken(who, after.name):
                return refused(409)
            for name in ("name", "description", "config", "metadata"):
                setattr(environment, name, getattr(after, name))
            environment.updated_at = self.now
        return ok(environment.show())

    @write
    def archive_environment(self, who: Workspace, environment_id: str) -> Answer:
        """For good; again is the same answer. What pins it stays, and fails when it is fired."""
        environment = self.find(who, self.environments, environment_id)
        if environment is None:
            return refused(404, f"Environment {environment_id} not found.")
        if environment.archived_at is None:
            environment.archived_at = environment.updated_at = self.now
        return ok(environment.show())

    @write
    def delete_environment(self, who: Workspace, environment_id: str, force: bool) -> Answer:
        """A cloud one goes even if it is in use; a self-hosted one with sessions only by force."""
        environment = self.find(who, self.environments, environment_id)
        if environment is None:
            return refused(404, f"Environment {environment_id} not found.")
        live = [each for each in self.sessions if each.environment is environment and not each.deleted]
        count = sum(session.archived_at is None for session in live)
        if environment.self_hosted and count and not force:
            noun = "session" if count == 1 else "sessions"
            return refused(409, f"Environment has {count} active {noun}. Use force=true to delete anyway.")
        environment.deleted = True
        return ok({"type": "environment_deleted", "id": environment.id})

    def get_environment(self, who: Workspace, environment_id: str) -> Answer:
        """Archived ones too."""
        environment = self.find(who, self.environments, environment_id)
        if environment is None:
            return refused(404, f"Environment {environment_id} not found.")
        return ok(environment.show())

    def _name_taken(self, who: Workspace, name: str) -> bool:
        return any(
            each.workspace is who and each.name == name and each.archived_at is None and not each.deleted
            for each in self.environments
        )

    def _archive(self, deployment: Deployment) -> None:
        deployment.archived_at = deployment.updated_at = self.now
        deployment.paused = False
