"""The whole API on one page: the rooms' route tables, who follows whom, where secrets rest, and who comes in.

A room that must move together with a lower one subscribes to what the lower one announces (see ``queue.outbox``).
"""

from rota.base.who import Who
from rota.http.route import Route
from rota.queue import objects, outbox
from rota.queue.chore import Chore
from rota.queue.outbox import subscribe
from rota.resources.agents import routes as agents
from rota.resources.deployment_runs import routes as deployment_runs
from rota.resources.deployments import actions as deployments_actions
from rota.resources.deployments import routes as deployments
from rota.resources.deployments import sql as deployments_sql
from rota.resources.environments import routes as environments
from rota.resources.files import content as files_content
from rota.resources.files import routes as files
from rota.resources.memory_stores import retention as memory_stores_retention
from rota.resources.memory_stores import routes as memory_stores
from rota.resources.sessions import actions as sessions_actions
from rota.resources.sessions import routes as sessions
from rota.resources.sessions import sql as sessions_sql
from rota.resources.skills import chores as skills_chores
from rota.resources.skills import routes as skills
from rota.resources.vaults import routes as vaults
from rota.resources.vaults import sql as vaults_sql
from rota.resources.webhooks import deliveries as webhooks_deliveries
from rota.resources.webhooks import routes as webhooks
from rota.resources.webhooks import sql as webhooks_sql
from rota.resources.work import actions as work_actions
from rota.resources.work import routes as work
from rota.resources.work import tokens, wants
from rota.resources.workspaces import keys
from rota.resources.workspaces import routes as workspaces
from rota.store.sealed import SealedColumn
from rota.store.tx import Tx

ROUTES: list[Route] = [
    *deployments.ROUTES,
    *deployment_runs.ROUTES,
    *sessions.ROUTES,
    *work.ROUTES,
    *agents.ROUTES,
    *environments.ROUTES,
    *skills.ROUTES,
    *memory_stores.ROUTES,
    *vaults.ROUTES,
    *files.ROUTES,
    *webhooks.ROUTES,
    *workspaces.ROUTES,
]

CHORES: list[Chore] = [
    *memory_stores_retention.CHORES,
    *files_content.CHORES,
    *skills_chores.CHORES,
    *webhooks_deliveries.CHORES,
    *work_actions.CHORES,
    outbox.FORGET,
    objects.CLEAR,
]

SEALED: list[SealedColumn] = [
    deployments_sql.TOKENS,
    sessions_sql.TOKENS,
    vaults_sql.SECRETS,
    webhooks_sql.SECRETS_AT_REST,
]
"""Where sealed secrets rest: what ``rota keys rotate`` wraps anew."""

subscribe("agent.archived", deployments_actions.follow_archived_agent)
subscribe("environment.deleting", wants.object_to_environment_deletion)
subscribe("environment.deleting", sessions_actions.object_to_environment_deletion)
subscribe("environment.deleted", wants.end_all)


def admit(tx: Tx, token: str) -> Who | None:
    """Who stands behind a credential, whichever room keeps it; None if nobody."""
    return tokens.admit(tx, token) if tokens.is_one(token) else keys.admit(tx, token)
