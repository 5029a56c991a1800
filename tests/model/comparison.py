"""Asking the server what the model was asked, and comparing the two answers."""

from collections import Counter
from typing import Any

from tests.api import Api, Response
from tests.model.catalogue import Answer
from tests.model.ground import Ground
from tests.model.matching import differences
from tests.model.model import World
from tests.model.things import Agent, Environment, Json, Run, Thing, Workspace

ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error", 409: "invalid_request_error"}
TALLY: Counter[str] = Counter()
"""What the histories of this process came to: histories, steps, requests, answers by status, runs by outcome."""


class Comparison:
    """The server and the model side by side."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self.api = api
        self.world = World(api.clock.now())
        self.ground = Ground(api)
        self.looked_at: Workspace | None = None
        self.disabled_for = 0
        self.agreed = True

    def ask(self, method: str, path: str, who: Workspace, body: Any = None, **more: Any) -> Response:
        """One request with a workspace's key."""
        if method != "GET":
            self.looked_at = who
        return self.api.run(self.api.call(method, path, body, key=who.key, **more))

    def compare(self, expected: Answer, response: Response) -> Any:
        """Fail on any difference; what was made, if anything was."""
        self.agreed = False
        TALLY["requests"] += 1
        TALLY[f"answered {response.status}"] += 1
        note = f"\nexpected {expected}\ngot {response.status} {response.raw.decode()}"
        assert response.status == expected.status, note
        if expected.status != 200:
            error = {"type": ERROR_TYPES[expected.status], "message": expected.message}
            body = {key: value for key, value in response.body["error"].items() if key != "details"}
            assert response.headers["x-should-retry"] == "false"
            assert response.body["request_id"] == response.headers["request-id"]
            found = list(differences({"type": "error", "error": error}, {"type": response.body["type"], "error": body}))
        else:
            found = list(differences(expected.body, response.body))
        assert not found, "\n".join(found) + note
        self.agreed = True
        if isinstance(expected.made, Run):
            TALLY["run " + (expected.made.error["type"] if expected.made.error else "session")] += 1
        return expected.made

    def astray(self, thing: Thing, whose: int) -> tuple[Workspace, str]:
        """The key and the id for a request about ``thing``: mostly its own."""
        others = [each for each in self.world.workspaces if each is not thing.workspace]
        if whose == 0 and others:
            return others[0], str(thing.id)
        if whose == 1:
            return thing.workspace, str(thing.id)[:-1] + "I"  # a letter that ids do not have
        return thing.workspace, str(thing.id)

    def near(self, environment: Environment, who: Workspace, whose: int) -> str:
        """The id of an environment that ``who`` may name, or of one that it may not."""
        own = [each for each in self.world.environments if each.workspace is who]
        return str((environment if environment.workspace is who or whose == 0 or not own else own[-1]).id)

    def reference(self, agent: Agent, form: str) -> str | Json:
        """An agent as a body names it."""
        if form == "bare":
            return str(agent.id)
        number = {"first": 1, "pinned": len(agent.versions), "absent": len(agent.versions) + 1}[form]
        return {"type": "agent", "id": str(agent.id), "version": number}
