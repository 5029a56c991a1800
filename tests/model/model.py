"""The server as a specification: what each request does to the world, and what it answers (see ``catalogue``, its first half).

Deployments, their runs, the sessions that these make, and lists of all of them. Imports nothing of ``rota``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.model import rules
from tests.model.catalogue import Answer, Catalogue, ok, refused, write
from tests.model.matching import CURSOR
from tests.model.rules import Problem
from tests.model.things import (
    DAY,
    Agent,
    Deployment,
    Environment,
    Json,
    Kept,
    Pin,
    Run,
    Session,
    Thing,
    Workspace,
    stamp,
)


@dataclass
class Place:
    """Where a walk through a list stands: at the edge of a page that was seen."""

    at: tuple[int, str]
    back: bool = False


@dataclass
class World(Catalogue):
    """All of it."""

    # Deployments

    @write
    def create_deployment(self, who: Workspace, body: Json) -> Answer:
        """What it names must exist now, but for what only a fire looks at: files, memory stores, mounts, networks."""
        if (flaw := rules.flaw(body, rules.CREATION)) is not None:
            return refused(400, flaw)
        pin = self._pin(who, body["agent"])
        if isinstance(pin, Answer):
            return pin
        environment = self._referenced_environment(who, body["environment_id"])
        if isinstance(environment, Answer):
            return environment
        resources = body.get("resources") or []
        deployment = Deployment(
            id=self.new("depl_"),
            workspace=who,
            created_at=self.now,
            name=body["name"],
            pin=pin,
            environment=environment,
            initial_events=body["initial_events"],
            description=body.get("description") or None,
            resources=rules.without_tokens(resources),
            metadata=body.get("metadata", {}),
            schedule=body.get("schedule"),
            budget=body.get("budget"),
            updated_at=self.now,
            tokens=rules.tokens(resources),
        )
        if (bad := self._unkeepable(deployment, body)) is not None:
            return bad
        self.deployments.append(deployment)
        return ok(deployment.show(self.now), deployment)

    @write
    def update_deployment(self, who: Workspace, deployment_id: str, body: Json) -> Answer:
        """What is omitted stays, null clears where it may, lists are replaced whole; a paused one stays paused."""
        if (flaw := rules.flaw(body, rules.UPDATE)) is not None:
            return refused(400, flaw)
        deployment = self._live_deployment(who, deployment_id)
        if isinstance(deployment, Answer):
            return deployment
        after = replace(deployment)
        if "agent" in body:
            pin = self._pin(who, body["agent"])
            if isinstance(pin, Answer):
                return pin
            after.pin = pin
        if "environment_id" in body:
            environment = self._referenced_environment(who, body["environment_id"])
            if isinstance(environment, Answer):
                return environment
            after.environment = environment
        after.name = body.get("name", after.name)
        after.initial_events = body.get("initial_events", after.initial_events)
        after.description = body.get("description", after.description) or None
        after.metadata = rules.patch(after.metadata, body.get("metadata"))
        after.schedule = body.get("schedule", after.schedule)
        after.budget = body.get("budget", after.budget)
        if "resources" in body:
            after.resources = rules.without_tokens(body["resources"] or [])
            after.tokens = rules.tokens(body["resources"] or [])
        if (bad := self._unkeepable(after, body)) is not None:
            return bad
        sent_again = "resources" in body and bool(after.tokens)
        if after.show(self.now) != deployment.show(self.now) or after.tokens != deployment.tokens or sent_again:
            after.updated_at = self.now
            vars(deployment).update(vars(after))
        return ok(deployment.show(self.now))

    @write
    def pause(self, who: Workspace, deployment_id: str) -> Answer:
        """Again is the same answer."""
        deployment = self._live_deployment(who, deployment_id)
        if isinstance(deployment, Answer):
            return deployment
        if not deployment.paused:
            deployment.paused, deployment.updated_at = True, self.now
        return ok(deployment.show(self.now))

    @write
    def unpause(self, who: Workspace, deployment_id: str) -> Answer:
        """On an active one: nothing."""
        deployment = self._live_deployment(who, deployment_id)
        if isinstance(deployment, Answer):
            return deployment
        if deployment.paused:
            deployment.paused, deployment.updated_at = False, self.now
        return ok(deployment.show(self.now))

    @write
    def archive_deployment(self, who: Workspace, deployment_id: str) -> Answer:
        """For good; again is the same answer."""
        deployment = self.find(who, self.deployments, deployment_id)
        if deployment is None:
            return refused(404, f"Deployment `{deployment_id}` not found.")
        if deployment.archived_at is None:
            self._archive(deployment)
        return ok(deployment.show(self.now))

    def get_deployment(self, who: Workspace, deployment_id: str) -> Answer:
        """Archived ones too."""
        deployment = self.find(who, self.deployments, deployment_id)
        if deployment is None:
            return refused(404, f"Deployment `{deployment_id}` not found.")
        return ok(deployment.show(self.now))

    def _live_deployment(self, who: Workspace, deployment_id: str) -> Deployment | Answer:
        deployment = self.find(who, self.deployments, deployment_id)
        if deployment is None:
            return refused(404, f"Deployment `{deployment_id}` not found.")
        if deployment.archived_at is not None:
            return refused(400, "Cannot modify archived deployment")
        return deployment

    def _pin(self, who: Workspace, asked: str | Json) -> Pin | Answer:
        agent_id, number = (asked, None) if isinstance(asked, str) else (asked["id"], asked.get("version"))
        agent = self.find(who, self.agents, agent_id)
        if agent is None or (number or 1) > len(agent.versions):
            return refused(404, "Referenced agent not found or not accessible.")
        if agent.archived_at is not None:
            return refused(400, "Cannot modify archived agent")
        return Pin(agent, number or len(agent.versions))

    def _referenced_environment(self, who: Workspace, environment_id: str) -> Environment | Answer:
        environment = self.find(who, self.environments, environment_id)
        if environment is None or environment.archived_at is not None:
            return refused(404, "Referenced environment not found or not accessible.")
        return environment

    def _unkeepable(self, deployment: Deployment, body: Json) -> Answer | None:
        """A schedule that never fires or is no schedule; a budget on a model without a list price."""
        if body.get("schedule") is not None and (bad := rules.bad_schedule(body["schedule"])) is not None:
            return refused(400, bad)
        priced = deployment.pin.config["model"]["id"] in rules.PRICED
        if deployment.budget is not None and ("budget" in body or "agent" in body) and not priced:
            return refused(400)
        return None

    # Runs

    def run(self, who: Workspace, deployment_id: str, key: str | None = None) -> Answer:
        """Fire now. Allowed while paused, and where nothing may be written: then the record says why there is no session."""
        path = f"/v1/deployments/{deployment_id}/run"
        kept = self.kept.get((who, key)) if key is not None else None
        if kept is not None and self.now - kept.at < DAY:
            return Answer(200, kept.run.show(), replay=kept) if kept.path == path else refused(400)
        deployment = self._live_deployment(who, deployment_id)
        if isinstance(deployment, Answer):
            return deployment
        problem = next(self.problems(deployment.workspace, deployment.pin, deployment.environment, deployment), None)
        session, error = None, None
        if problem is None:
            session = self._make_session(
                deployment.pin,
                deployment.environment,
                deployment.name,
                {},
                deployment.resources,
                deployment.initial_events,
            )
            session.deployment = deployment
            session.budget = deployment.budget
            session.tokens = len(deployment.tokens)
        else:
            error = {"type": problem.type, "message": problem.recorded}
        run = Run(self.new("drun_"), who, self.now, deployment, deployment.pin, session, error)
        self.runs.append(run)
        if key is not None:
            self.kept[who, key] = Kept(path, self.now, run)
        return ok(run.show(), run)

    def get_run(self, who: Workspace, run_id: str) -> Answer:
        """Kept for ever."""
        run = self.find(who, self.runs, run_id)
        return refused(404) if run is None else ok(run.show())

    def problems(
        self, who: Workspace, pin: Pin, environment: Environment | None, wished: "Deployment | Json"
    ) -> Iterator[Problem]:
        """Why there can be no session, in the order in which the contract ranks the reasons."""
        if self.disabled:
            yield rules.organization_disabled()
        if who.archived:
            yield rules.workspace_archived()
        members = self.roster(pin)
        for agent in (pin.agent, *(member.agent for member in members)):
            if agent.archived_at is not None:
                yield rules.agent_archived(agent)
        resources = wished.resources if isinstance(wished, Deployment) else wished.get("resources", [])
        budget = wished.budget if isinstance(wished, Deployment) else None
        if environment is None or environment.deleted:
            yield rules.environment_not_found(environment)
            return
        if environment.archived_at is not None:
            yield rules.environment_archived(environment)
        yield from rules.unmountable(environment, resources)
        yield from rules.unreachable(environment, [pin, *members])
        yield from rules.unpriced(budget, [pin, *members])
        yield from rules.overlapping(resources)

    def roster(self, pin: Pin) -> list[Pin]:
        """Who a version may delegate to."""
        multiagent = pin.config["multiagent"]
        return [
            Pin(next(agent for agent in self.agents if agent.id is entry["id"]), entry["version"])
            for entry in ([] if multiagent is None else multiagent["agents"])
        ]

    # Sessions

    @write
    def create_session(self, who: Workspace, body: Json) -> Answer:
        """Refused for the reasons for which a run is recorded as failed, in words of its own."""
        asked = body["agent"]
        agent_id, number = (asked, None) if isinstance(asked, str) else (asked["id"], asked.get("version"))
        agent = self.find(who, self.agents, agent_id)
        if agent is None:
            return refused(404)
        if (number or 1) > len(agent.versions):
            return refused(404, f"agent.version: {number} not found")
        pin = Pin(agent, number or len(agent.versions))
        environment = self.find(who, self.environments, body["environment_id"])
        if (problem := next(self.problems(who, pin, environment, body), None)) is not None:
            unknown = problem.type == "environment_not_found_error"
            return refused(
                problem.status, f"Environment {body['environment_id']} not found." if unknown else problem.answered
            )
        assert environment is not None
        session = self._make_session(
            pin, environment, body.get("title"), body.get("metadata", {}),
            rules.without_tokens(body.get("resources", [])), body.get("initial_events", []),
        )  # fmt: skip
        session.tokens = len(rules.tokens(body.get("resources", [])))
        return ok(session.show(self.now), session)

    def _make_session(
        self,
        pin: Pin,
        environment: Environment,
        title: str | None,
        metadata: dict[str, str],
        resources: Sequence[Json],
        initial_events: Sequence[Json],
    ) -> Session:
        """Running if it has first events, which wait to be taken up; idle otherwise."""
        status = "running" if initial_events else "idle"
        mounted = [rules.mounted(resource, self.new("sesrsc_"), self.now) for resource in resources]
        session = Session(
            id=self.new("sesn_"),
            workspace=pin.agent.workspace,
            created_at=self.now,
            pin=pin,
            members=self.roster(pin),
            environment=environment,
            deployment=None,
            title=title,
            metadata=metadata,
            resources=mounted,
            budget=None,
            events=[],
            tokens=0,
            status=status,
            updated_at=self.now,
            thread=self.new("sthr_"),
            thread_status=status,
            thread_updated_at=self.now,
        )
        self._log(session, initial_events)
        self.sessions.append(session)
        return session

    def _log(self, session: Session, sent: Sequence[Json]) -> list[Json]:
        """Messages and outcomes wait for the engine; an outcome has its default filled in."""
        logged: list[Json] = []
        for event in sent:
            if event["type"] == "user.define_outcome":
                taken_up = {"processed_at": stamp(self.now), "outcome_id": self.new("outc_"), "max_iterations": 3}
                logged.append({"id": self.new("sevt_"), **taken_up, **event})
            else:
                logged.append({"id": self.new("sevt_"), "processed_at": None, **event})
        session.events += logged
        return logged

    def get_session(self, who: Workspace, session_id: str) -> Answer:
        """Archived ones too; deleted ones are gone."""
        session = self.find(who, self.sessions, session_id)
        return refused(404) if session is None else ok(session.show(self.now))

    @write
    def update_session(self, who: Workspace, session_id: str, body: Json) -> Answer:
        """What really changed is told in one event; if nothing did, nothing moves."""
        session = self.find(who, self.sessions, session_id)
        if session is None:
            return refused(404)
        if session.archived_at is not None:
            return refused(400)
        changed: Json = {}
        if "title" in body and body["title"] != session.title:
            changed["title"] = session.title = body["title"]
        metadata = rules.patch(session.metadata, body.get("metadata"))
        if metadata != session.metadata:
            changed["metadata"] = session.metadata = metadata
        if changed:
            session.updated_at = self.now
            done = [event for event in session.events if event["type"] == "session.updated"]
            session.told_at = max(self.now, session.told_at + 1)  # no two events share an instant
            told = {"id": self.new("sevt_"), "type": "session.updated", "processed_at": stamp(session.told_at)}
            session.events.insert(len(done), told | changed)  # before what waits
        return ok(session.show(self.now))

    @write
    def send(self, who: Workspace, session_id: str, events: Sequence[Json]) -> Answer:
        """User messages: they are logged, and the session runs."""
        session = self.find(who, self.sessions, session_id)
        if session is None:
            return refused(404)
        if session.archived_at is not None:
            return refused(400, f"Cannot send events to archived session: {session_id}")
        logged = self._log(session, events)
        if session.status == "idle":
            session.thread_status, session.thread_updated_at = "running", self.now
        session.status, session.updated_at = "running", self.now
        return ok({"data": logged})

    @write
    def archive_session(self, who: Workspace, session_id: str) -> Answer:
        """Not while it runs. The log gains nothing, and the thread stays as it is."""
        session = self.find(who, self.sessions, session_id)
        if session is None:
            return refused(404)
        if session.archived_at is None:
            if session.status == "running":
                return refused(
                    400,
                    f'Session {session_id} cannot be archived while its status is "running". '
                    "Only pending or idle sessions may be archived.",
                )
            session.status = "terminated"
            session.archived_at = session.updated_at = self.now
        return ok(session.show(self.now))

    @write
    def delete_session(self, who: Workspace, session_id: str) -> Answer:
        """Not while it runs. The run that made it keeps its id."""
        session = self.find(who, self.sessions, session_id)
        if session is None:
            return refused(404)
        if session.status == "running":
            return refused(
                400,
                "Cannot delete session while it is running. "
                "Send an interrupt event or wait for the session to complete.",
            )
        session.deleted = True
        return ok({"type": "session_deleted", "id": session.id})

    def get_events(self, who: Workspace, session_id: str) -> Answer:
        """The whole log, oldest first."""
        session = self.find(who, self.sessions, session_id)
        return refused(404) if session is None else ok({"data": session.events, "next_page": None})

    def get_threads(self, who: Workspace, session_id: str) -> Answer:
        """The primary thread alone, as long as nobody delegates."""
        session = self.find(who, self.sessions, session_id)
        return refused(404) if session is None else ok({"data": [session.show_thread()], "next_page": None})

    def finish_turn(self, session: Session) -> None:
        """What the turn engine does in the end, as far as it matters here."""
        session.status = session.thread_status = "idle"

    # Listing

    def listed(self, who: Workspace, kind: str, query: Json) -> list[Any]:
        """The things of a kind that the filters let through, in the order of the list."""
        things: list[Thing] = getattr(self, kind)
        chosen = [
            thing
            for thing in things
            if thing.workspace is who
            and not getattr(thing, "deleted", False)
            and all(rules.FILTERS[kind](thing, name, query) for name in rules.names(kind, query))
        ]
        return sorted(chosen, key=lambda thing: thing.place, reverse=query.get("order") != "asc")

    def page(
        self, who: Workspace, kind: str, query: Json, place: Place | None
    ) -> tuple[Answer, Place | None, Place | None]:
        """One page from a place on, and where the walk goes on and back. Keyset: only the order decides what follows."""
        if kind == "deployments" and "status" in query and "include_archived" in query:
            return refused(400, "include_archived: cannot be set together with status"), None, None
        things = self.listed(who, kind, query)
        limit = query.get("limit", 20)
        ascending = query.get("order") == "asc"
        back = place is not None and place.back
        if place is not None:
            things = [
                thing for thing in things if thing.place != place.at and (thing.place > place.at) == (ascending != back)
            ]
        chosen = things[-limit:] if back else things[:limit]
        more = len(things) > limit
        onward = Place(chosen[-1].place) if chosen and (more or back) else None
        backward = Place(chosen[0].place, back=True) if chosen and (more if back else place is not None) else None
        body: Json = {"data": [self.show(thing) for thing in chosen], "next_page": CURSOR if onward else None}
        if kind == "sessions":
            body["prev_page"] = CURSOR if backward else None
        return ok(body), onward, backward

    def show(self, thing: Thing) -> Json:
        """Any thing as it goes out."""
        if isinstance(thing, Deployment | Session):
            return thing.show(self.now)
        assert isinstance(thing, Agent | Environment | Run)
        return thing.show()
