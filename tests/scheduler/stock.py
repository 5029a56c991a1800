"""Many scheduled deployments at once, put into a database as the API would have left them, but in bulk."""

from typing import Any

from rota.base import ids
from rota.base.who import Who
from rota.resources.agents import actions as agents
from rota.resources.agents.wire import CreateAgent
from rota.resources.deployments import sql
from rota.resources.environments import actions as environments
from rota.resources.environments.wire import CreateEnvironment
from rota.store.tx import Insert, Tx

HELLO = b'{"type":"user.message","content":[{"type":"text","text":"Hello."}]}'
SCHEDULES = Insert(
    "Date schedules in bulk.",
    "schedules",
    {
        "deployment_id": "text",
        "expression": "text",
        "timezone": "text",
        "fire_at": "bigint",
        "due_at": "bigint",
        "accounted_at": "bigint",
        "skipping": "bigint",
    },
)


def ground(tx: Tx, who: Who) -> tuple[str, str]:
    """An agent and an environment for all of them."""
    import msgspec

    agent = agents.create(tx, who, msgspec.convert({"name": "Clerk", "model": "claude-opus-5-5"}, CreateAgent))
    environment = environments.create(tx, who, msgspec.convert({"name": "herd"}, CreateEnvironment))
    return agent.id, environment.id


def stock(
    tx: Tx, who: Who, agent_id: str, environment_id: str, count: int, due_at: int, expression: str = "* * * * *"
) -> list[str]:
    """So many deployments, all due at one instant; their ids."""
    import msgspec

    body = sql.to_text(
        sql.Body(
            name="Herd",
            initial_events=[msgspec.Raw(HELLO)],
        )
    )
    made = [ids.new(ids.DEPLOYMENT) for _ in range(count)]
    rows: list[Any] = [
        (each, who.organization_id, who.workspace_id, tx.now, tx.now, "active", agent_id, 1, environment_id, 1, body)
        for each in made
    ]
    tx.insert(sql.INSERT, rows)
    tx.insert(SCHEDULES, [(each, expression, "UTC", due_at, due_at, min(tx.now, due_at - 1), 0) for each in made])
    return made
