"""Random histories of an organization, each request answered by the server and by the model, and both compared.

After every step the workspace that it was about is listed whole and compared field by field, and the tables are searched
for what must never be there. At the end of a history all workspaces are.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from tests.api import Api
from tests.model import ground, requests
from tests.model.catalogue import Answer, ok
from tests.model.comparison import TALLY, Comparison
from tests.model.model import Place
from tests.model.things import Agent, Deployment, Environment, Json, Session, Thing, Workspace, stamp

PATHS = {
    "agents": "/v1/agents",
    "environments": "/v1/environments",
    "deployments": "/v1/deployments",
    "runs": "/v1/deployment_runs",
    "sessions": "/v1/sessions",
}
EVERYTHING: dict[str, Json] = {
    "agents": {"limit": 100, "include_archived": True},
    "environments": {"limit": 1000, "include_archived": True},
    "deployments": {"limit": 100, "include_archived": True},
    "runs": {"limit": 1000},
    "sessions": {"limit": 100, "include_archived": True},
}
GLANCES: list[tuple[str, Json]] = [
    ("deployments", {}),
    ("deployments", {"status": "active"}),
    ("deployments", {"status": "paused", "limit": 1}),
    ("agents", {}),
    ("environments", {"include_archived": False}),
    ("sessions", {}),
    ("sessions", {"statuses[]": ["idle", "terminated"], "include_archived": True, "order": "asc"}),
    ("runs", {"has_error": True}),
    ("runs", {"has_error": False}),
]
"""Lists with filters: one of them in turn after each step."""
HOMES: dict[str, Json] = {
    "open": {"type": "cloud"},
    "shut": {"type": "cloud", "networking": {"type": "limited"}},
    "own": {"type": "self_hosted"},
}
"""The environments that a history begins with."""
MOST_WORKSPACES = 3
WHOSE = st.integers(0, 11)
"""How a request goes astray: 0 uses another workspace's key, 1 an id that nobody has; the rest goes straight."""


@dataclass(eq=False)
class Walk:
    """A walk through a list, standing at the edge of a page."""

    who: Workspace
    kind: str
    query: Json
    onward: Place | None = None
    onward_cursor: str | None = None
    backward: Place | None = None
    backward_cursor: str | None = None


class Machine(Comparison, RuleBasedStateMachine):
    """One history."""

    workspaces = Bundle("workspaces")
    agents = Bundle("agents")
    environments = Bundle("environments")
    deployments = Bundle("deployments")
    sessions = Bundle("sessions")
    walks = Bundle("walks")

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        home = self._open_workspace()
        for name, config in HOMES.items():
            self._create("environments", home, {"name": name, "config": config})
        member = self._create("agents", home, {"name": "Member", "model": "claude-opus-5-5"} | requests.WITH_SERVER)
        roster = {"type": "coordinator", "agents": [str(member.id)]}
        self._create("agents", home, {"name": "Head", "model": "claude-opus-5-5", "multiagent": roster})
        self._create("agents", home, {"name": "Alone", "model": "claude-haiku-4-5"})

    # The surroundings

    @initialize(target=workspaces)
    def begin_in_workspace(self) -> Any:
        return self.world.workspaces[0]

    @initialize(target=agents)
    def begin_with_agents(self) -> Any:
        return multiple(*self.world.agents)

    @initialize(target=environments)
    def begin_with_environments(self) -> Any:
        return multiple(*self.world.environments)

    @initialize(
        target=deployments,
        bodies=st.lists(
            st.tuples(requests.deployments, st.integers(0, 2), st.sampled_from([0, 0, 1, 2])), min_size=1, max_size=3
        ),
    )
    def begin_with_deployments(self, bodies: list[tuple[Json, int, int]]) -> Any:
        agents, environments = self.world.agents, self.world.environments
        for body, agent, environment in bodies:
            references = {"agent": str(agents[agent].id), "environment_id": str(environments[environment].id)}
            self._create("deployments", self.world.workspaces[0], body | references)
        return multiple(*self.world.deployments)

    @precondition(lambda self: len(self.world.workspaces) < MOST_WORKSPACES and not self.world.disabled)
    @rule(target=workspaces)
    def open_workspace(self) -> Any:
        return self._open_workspace()

    def _open_workspace(self) -> Workspace:
        workspace = self.ground.open_workspace()
        self.world.workspaces.append(workspace)
        return workspace

    @precondition(lambda self: sum(not each.archived for each in self.world.workspaces) > 1 and not self.world.disabled)
    @rule(workspace=workspaces, sure=st.booleans())
    def archive_workspace(self, workspace: Workspace, sure: bool) -> None:
        if sure:
            self.ground.archive_workspace(workspace)
            workspace.archived = True

    @precondition(lambda self: not self.world.disabled)
    @rule(steps=st.integers(1, 4))
    def disable_organization(self, steps: int) -> None:
        self.ground.disable(True)
        self.world.disabled, self.disabled_for = True, steps

    def _enable_organization_in_time(self) -> None:
        self.disabled_for -= 1
        if self.disabled_for == 0:
            self.ground.disable(False)
            self.world.disabled = False

    @rule(seconds=st.sampled_from([0.000_001, 0.5, 1, 61, 3_600, 40_000, 90_000, -30]))
    def time_passes(self, seconds: float) -> None:
        """Mostly forwards; a clock that was set back must not spoil anything either."""
        self.api.clock.advance(seconds=seconds)
        self.world.now = self.api.clock.now()

    # Agents

    @rule(
        target=agents, who=workspaces, body=requests.agents, roster=st.lists(agents, max_size=2),
        forms=st.lists(st.sampled_from(["bare", "first", "pinned"]), min_size=2, max_size=2), whose=WHOSE,
    )  # fmt: skip
    def create_agent(self, who: Workspace, body: Json, roster: list[Agent], forms: list[str], whose: int) -> Any:
        return self._create("agents", who, body | self._roster(who, roster, forms, whose))

    def _roster(self, who: Workspace, roster: Sequence[Agent], forms: Sequence[str], whose: int) -> Json:
        members = [agent for agent in roster if agent.workspace is who or whose == 0]
        entries = [self.reference(agent, form) for agent, form in zip(members, forms, strict=False)]
        return {"multiagent": {"type": "coordinator", "agents": entries}} if entries else {}

    @rule(
        agent=agents, body=requests.agent_changes, roster=st.lists(agents, max_size=2),
        forms=st.lists(st.sampled_from(["bare", "first", "absent"]), min_size=2, max_size=2),
        version=st.sampled_from(["none", "none", "latest", "stale"]), whose=WHOSE,
    )  # fmt: skip
    def update_agent(
        self, agent: Agent, body: Json, roster: list[Agent], forms: list[str], version: str, whose: int
    ) -> None:
        who, agent_id = self.astray(agent, whose)
        body = body | self._roster(who, [each for each in roster if each is not agent], forms, whose)
        if version != "none":
            body["version"] = len(agent.versions) + (version == "stale")
        self.compare(
            self.world.update_agent(who, agent_id, body), self.ask("POST", f"/v1/agents/{agent_id}", who, body)
        )

    @rule(agent=agents, number=st.sampled_from([None, 1, 2, 7]), whose=WHOSE)
    def get_agent(self, agent: Agent, number: int | None, whose: int) -> None:
        who, agent_id = self.astray(agent, whose)
        query = {} if number is None else {"version": number}
        response = self.ask("GET", f"/v1/agents/{agent_id}", who, query=query)
        self.compare(self.world.get_agent(who, agent_id, number), response)

    # Environments

    @rule(target=environments, who=workspaces, body=requests.environments)
    def create_environment(self, who: Workspace, body: Json) -> Any:
        return self._create("environments", who, body)

    @rule(environment=environments, body=requests.environment_changes, whose=WHOSE)
    def update_environment(self, environment: Environment, body: Json, whose: int) -> None:
        who, environment_id = self.astray(environment, whose)
        response = self.ask("POST", f"/v1/environments/{environment_id}", who, body)
        self.compare(self.world.update_environment(who, environment_id, body), response)

    @rule(environment=environments, force=st.booleans(), sure=st.booleans(), whose=WHOSE)
    def delete_environment(self, environment: Environment, force: bool, sure: bool, whose: int) -> None:
        if sure:
            who, environment_id = self.astray(environment, whose)
            query = {"force": "true"} if force else {}
            response = self.ask("DELETE", f"/v1/environments/{environment_id}", who, query=query)
            self.compare(self.world.delete_environment(who, environment_id, force), response)

    # Deployments

    @rule(
        target=deployments, agent=agents, environment=environments, body=requests.deployments,
        form=st.sampled_from(["bare", "bare", "first", "absent"]), whose=WHOSE,
    )  # fmt: skip
    def create_deployment(self, agent: Agent, environment: Environment, body: Json, form: str, whose: int) -> Any:
        who, _ = self.astray(agent, whose)
        references = {"agent": self.reference(agent, form), "environment_id": self.near(environment, who, whose)}
        return self._create("deployments", who, body | references)

    @rule(agent=agents, environment=environments, body=requests.deployments, flaw=requests.flaws)
    def create_bad_deployment(self, agent: Agent, environment: Environment, body: Json, flaw: Json) -> None:
        body = body | {"agent": str(agent.id), "environment_id": str(environment.id)} | flaw
        assert self._create("deployments", agent.workspace, body) == multiple()

    @rule(who=workspaces, field=st.sampled_from(["name", "agent", "environment_id", "initial_events"]))
    def create_incomplete_deployment(self, who: Workspace, field: str) -> None:
        body = {"name": "x", "agent": "agent_x", "environment_id": "env_x", "initial_events": [requests.HELLO]}
        del body[field]
        assert self._create("deployments", who, body) == multiple()

    @rule(
        deployment=deployments, agent=agents, environment=environments,
        body=requests.deployment_changes, whose=WHOSE,
    )  # fmt: skip
    def update_deployment(
        self, deployment: Deployment, agent: Agent, environment: Environment, body: Json, whose: int
    ) -> None:
        who, deployment_id = self.astray(deployment, whose)
        body = dict(body)
        if body.get("agent") is not None:
            body["agent"] = self.reference(agent if agent.workspace is who else deployment.pin.agent, body["agent"])
        if body.get("environment_id") is not None:
            body["environment_id"] = self.near(environment, who, whose)
        response = self.ask("POST", f"/v1/deployments/{deployment_id}", who, body)
        self.compare(self.world.update_deployment(who, deployment_id, body), response)

    @rule(deployment=deployments, flaw=requests.flaws)
    def update_deployment_badly(self, deployment: Deployment, flaw: Json) -> None:
        """A live one: which of two refusals comes first is nobody's business."""
        if deployment.archived_at is None:
            who, path = deployment.workspace, f"/v1/deployments/{deployment.id}"
            self.compare(self.world.update_deployment(who, str(deployment.id), flaw), self.ask("POST", path, who, flaw))

    @rule(deployment=deployments, whose=WHOSE)
    def send_resources_again(self, deployment: Deployment, whose: int) -> None:
        """What a client does that reads a deployment and writes it back: the tokens are not in what it read."""
        who, deployment_id = self.astray(deployment, whose)
        body = {"resources": deployment.resources}
        response = self.ask("POST", f"/v1/deployments/{deployment_id}", who, body)
        self.compare(self.world.update_deployment(who, deployment_id, body), response)

    @rule(deployment=deployments, whose=WHOSE)
    def pause(self, deployment: Deployment, whose: int) -> None:
        who, deployment_id = self.astray(deployment, whose)
        response = self.ask("POST", f"/v1/deployments/{deployment_id}/pause", who)
        self.compare(self.world.pause(who, deployment_id), response)

    @rule(deployment=deployments, whose=WHOSE)
    def unpause(self, deployment: Deployment, whose: int) -> None:
        who, deployment_id = self.astray(deployment, whose)
        response = self.ask("POST", f"/v1/deployments/{deployment_id}/unpause", who)
        self.compare(self.world.unpause(who, deployment_id), response)

    @rule(thing=st.one_of(agents, environments, deployments, sessions), sure=st.booleans(), whose=WHOSE)
    def archive(self, thing: Thing, sure: bool, whose: int) -> None:
        """Once, and sometimes again."""
        if not sure:
            return
        who, thing_id = self.astray(thing, whose)
        kind = _kind(thing)
        act = {
            "agents": self.world.archive_agent,
            "environments": self.world.archive_environment,
            "deployments": self.world.archive_deployment,
            "sessions": self.world.archive_session,
        }[kind]
        self.compare(act(who, thing_id), self.ask("POST", f"{PATHS[kind]}/{thing_id}/archive", who))

    # Runs

    @rule(target=sessions, deployment=deployments, whose=WHOSE)
    def run(self, deployment: Deployment, whose: int) -> Any:
        who, deployment_id = self.astray(deployment, whose)
        response = self.ask("POST", f"/v1/deployments/{deployment_id}/run", who)
        return _session_of(self.compare(self.world.run(who, deployment_id), response))

    @rule(target=sessions, chosen=st.lists(deployments, min_size=2, max_size=5))
    def run_at_once(self, chosen: list[Deployment]) -> Any:
        """Several at the same time, perhaps the same one: each gets a run of its own, whatever set it travelled in."""
        return self._run_at_once(chosen)

    @precondition(lambda self: self.world.deployments)
    @rule(target=sessions, most=st.integers(1, 5))
    def run_the_newest(self, most: int) -> Any:
        """The latest deployments, whatever has become of them and of what they name."""
        return self._run_at_once(self.world.deployments[-most:])

    def _run_at_once(self, chosen: list[Deployment]) -> Any:
        paths = [f"/v1/deployments/{deployment.id}/run" for deployment in chosen]
        calls = [
            self.api.call("POST", path, key=deployment.workspace.key)
            for path, deployment in zip(paths, chosen, strict=True)
        ]
        made: list[Session] = []
        for deployment, response in zip(chosen, self.api.gather(calls), strict=True):
            run = self.compare(self.world.run(deployment.workspace, str(deployment.id)), response)
            self.looked_at = deployment.workspace
            made += [run.session] if run is not None and run.session is not None else []
        return multiple(*made)

    @rule(target=sessions, deployment=deployments, key=st.sampled_from(["k1", "k2"]), whose=WHOSE)
    def run_with_key(self, deployment: Deployment, key: str, whose: int) -> Any:
        who, deployment_id = self.astray(deployment, whose)
        return self._run_with_key(who, deployment_id, key)

    def _run_with_key(self, who: Workspace, deployment_id: str, key: str) -> Any:
        expected = self.world.run(who, deployment_id, key)
        path = f"/v1/deployments/{deployment_id}/run"
        response = self.ask("POST", path, who, headers={"idempotency-key": key})
        run = self.compare(expected, response)
        assert ("idempotent-replayed" in response.headers) == (expected.replay is not None)
        if expected.replay is not None:
            assert response.raw == expected.replay.raw, "a replay repeats the first reply byte for byte"
            return multiple()
        if run is not None:
            self.world.kept[who, key].raw = response.raw
        return _session_of(run)

    @precondition(lambda self: self.world.kept)
    @rule(target=sessions, which=st.integers(0, 9))
    def repeat_key(self, which: int) -> Any:
        """What a client does that got no answer: the same request, within a day or much later."""
        kept = list(self.world.kept.items())
        (who, key), first = kept[which % len(kept)]
        return self._run_with_key(who, str(first.run.deployment.id), key)

    # Sessions

    @rule(
        target=sessions, agent=agents, environment=environments, body=requests.sessions,
        form=st.sampled_from(["bare", "bare", "first", "absent"]), whose=WHOSE,
    )  # fmt: skip
    def create_session(self, agent: Agent, environment: Environment, body: Json, form: str, whose: int) -> Any:
        who, _ = self.astray(agent, whose)
        references = {"agent": self.reference(agent, form), "environment_id": self.near(environment, who, whose)}
        return self._create("sessions", who, body | references)

    @rule(session=sessions, body=requests.session_changes, whose=WHOSE)
    def update_session(self, session: Session, body: Json, whose: int) -> None:
        who, session_id = self.astray(session, whose)
        response = self.ask("POST", f"/v1/sessions/{session_id}", who, body)
        self.compare(self.world.update_session(who, session_id, body), response)

    @rule(session=sessions, events=st.sampled_from([[requests.HELLO], [requests.PICTURE, requests.HELLO]]), whose=WHOSE)
    def send(self, session: Session, events: list[Json], whose: int) -> None:
        who, session_id = self.astray(session, whose)
        response = self.ask("POST", f"/v1/sessions/{session_id}/events", who, {"events": events})
        self.compare(self.world.send(who, session_id, events), response)

    @rule(session=sessions)
    def finish_turn(self, session: Session) -> None:
        if session.status == "running" and not session.deleted:
            self.ground.finish_turn(str(session.id))
            self.world.finish_turn(session)

    @rule(session=sessions, whose=WHOSE)
    def delete_session(self, session: Session, whose: int) -> None:
        who, session_id = self.astray(session, whose)
        self.compare(self.world.delete_session(who, session_id), self.ask("DELETE", f"/v1/sessions/{session_id}", who))

    @rule(session=sessions, whose=WHOSE)
    def look_into_session(self, session: Session, whose: int) -> None:
        who, session_id = self.astray(session, whose)
        path = f"/v1/sessions/{session_id}"
        self.compare(self.world.get_session(who, session_id), self.ask("GET", path, who))
        self.compare(self.world.get_threads(who, session_id), self.ask("GET", path + "/threads", who))
        self.compare(self.world.get_events(who, session_id), self.ask("GET", path + "/events", who))

    # Lists

    @rule(target=walks, who=workspaces, kind=st.sampled_from(sorted(PATHS)), data=st.data())
    def begin_walk(self, who: Workspace, kind: str, data: st.DataObject) -> Any:
        query = self._filled_in(who, data.draw(requests.queries[kind]))
        walk = Walk(who, kind, query)
        return walk if self._step(walk, None, None) else multiple()

    @rule(walk=walks, back=st.booleans())
    def go_on(self, walk: Walk, back: bool) -> None:
        """Whatever has happened in between: nothing is lost, nothing comes twice, and what is new has its place."""
        place, cursor = (walk.backward, walk.backward_cursor) if back else (walk.onward, walk.onward_cursor)
        if cursor is not None:
            self._step(walk, place, cursor)

    def _step(self, walk: Walk, place: Place | None, cursor: str | None) -> bool:
        expected, onward, backward = self.world.page(walk.who, walk.kind, walk.query, place)
        query = walk.query if cursor is None else walk.query | {"page": cursor}
        response = self.ask("GET", PATHS[walk.kind], walk.who, query=_on_wire(query))
        self.compare(expected, response)
        if response.status != 200:
            return False
        walk.onward, walk.onward_cursor = onward, response.body["next_page"]
        walk.backward, walk.backward_cursor = backward, response.body.get("prev_page")
        return True

    @rule(walk=walks, other=workspaces, wrong=st.sampled_from(["workspace", "order", "letter", "list"]))
    def misuse_cursor(self, walk: Walk, other: Workspace, wrong: str) -> None:
        cursor = walk.onward_cursor
        if (
            cursor is None
            or (wrong == "workspace" and other is walk.who)
            or (wrong == "order" and walk.kind != "sessions")
        ):
            return
        who, path, message = walk.who, PATHS[walk.kind], "invalid page cursor"
        query = walk.query | {"page": cursor}
        match wrong:
            case "workspace":
                who = other
            case "order":
                query["order"] = "desc" if walk.query.get("order") == "asc" else "asc"
                message = "page token order does not match request"
            case "letter":
                query["page"] = cursor[:8] + ("A" if cursor[8] != "A" else "B") + cursor[9:]
            case _:
                path = PATHS["agents" if walk.kind != "agents" else "runs"]
                query = {"page": cursor}
        self.compare(Answer(400, message=message), self.ask("GET", path, who, query=_on_wire(query)))

    def _filled_in(self, who: Workspace, query: Json) -> Json:
        """The query with real ids and instants in it, of things that are there."""
        query = dict(query)
        for name, things in (("agent_id", self.world.agents), ("deployment_id", self.world.deployments)):
            if name in query:
                own = [thing for thing in things if thing.workspace is who]
                query[name] = str(own[len(own) // 2].id) if own else name + "_unknown"
        instants = sorted(
            {run.created_at for run in self.world.runs} | {agent.created_at for agent in self.world.agents}
        )
        places = {"early": instants[0], "middle": instants[len(instants) // 2], "late": instants[-1]}
        return {name: stamp(places[value]) if name.startswith("created_at") else value for name, value in query.items()}

    # What must hold after every step

    @invariant()
    def everything_is_as_predicted(self) -> None:
        TALLY["steps"] += 1
        if self.world.disabled:
            self._enable_organization_in_time()
        if self.looked_at is not None:
            self._compare_all(self.looked_at)
            kind, query = GLANCES[TALLY["steps"] % len(GLANCES)]
            self._step(Walk(self.looked_at, kind, query), None, None)
            self.looked_at = None

    @invariant()
    def tables_hold_nothing_half_made(self) -> None:
        world = self.world
        mine = [workspace.id for workspace in world.workspaces]
        assert self.ground.all(ground.BOTH_OR_NEITHER, workspaces=mine) == []
        gone = [str(session.id) for session in world.sessions if session.deleted]
        fired: list[str] = []
        for session_id, found, own, expected in self.ground.all(ground.RUN_SESSIONS, workspaces=mine):
            assert (found is None) == (session_id in gone), f"{session_id} of a run is missing, or back"
            assert found is None or own == expected, f"{session_id} names another deployment than its run"
            fired += [] if found is None else [session_id]
        assert len(set(fired)) == len(fired), "two runs name one session"
        assert sorted(fired) == sorted(row[0] for row in self.ground.all(ground.FIRED_SESSIONS, workspaces=mine))
        assert self.ground.all(ground.LEFT_BEHIND, gone=gone) == []
        sessions = {str(each.id): each for each in world.sessions if not each.deleted}
        rows = self.ground.all(ground.THREADS, workspaces=mine)
        assert {row[0] for row in rows} == sessions.keys()
        for session_id, threads, primary, events, last, tokens in rows:
            session = sessions[session_id]
            assert (threads, primary, events, last) == (1, 1, len(session.events), len(session.events))
            assert tokens == session.tokens
        kept = {(str(each.id), place) for each in world.deployments for place in each.tokens}
        assert {tuple(row) for row in self.ground.all(ground.DEPLOYMENT_TOKENS, workspaces=mine)} == kept

    def teardown(self) -> None:
        """Compare everything once more, page by page."""
        TALLY["histories"] += 1
        if not self.agreed:
            return  # the difference that was found is what must be told
        for who in self.world.workspaces:
            self._compare_all(who)
            for kind in PATHS:
                walk = Walk(
                    who, kind, {key: value for key, value in EVERYTHING[kind].items() if key != "limit"} | {"limit": 2}
                )
                self._step(walk, None, None)
                while walk.onward_cursor is not None:
                    self._step(walk, walk.onward, walk.onward_cursor)
            for session in [each for each in self.world.sessions if each.workspace is who][-5:]:
                self.look_into_session(session, 9)

    def _compare_all(self, who: Workspace) -> None:
        for kind, query in EVERYTHING.items():
            expected, _, _ = self.world.page(who, kind, query, None)
            self.compare(expected, self.ask("GET", PATHS[kind], who, query=_on_wire(query)))

    def _create(self, kind: str, who: Workspace, body: Json) -> Any:
        create = {
            "agents": self.world.create_agent,
            "environments": self.world.create_environment,
            "deployments": self.world.create_deployment,
            "sessions": self.world.create_session,
        }[kind]
        made = self.compare(create(who, body), self.ask("POST", PATHS[kind], who, body))
        if made is None:
            return multiple()
        shown = self.world.show(made)
        self.compare(ok(shown), self.ask("GET", f"{PATHS[kind]}/{made.id}", who))
        return made


def _kind(thing: Thing) -> str:
    return {Agent: "agents", Environment: "environments", Deployment: "deployments", Session: "sessions"}[type(thing)]


def _session_of(run: Any) -> Any:
    return multiple() if run is None or run.session is None else run.session


def _on_wire(query: Json) -> Json:
    return {name: json.dumps(value) if isinstance(value, bool) else value for name, value in query.items()}
