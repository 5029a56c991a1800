"""What the turn engine does to a session: takes it up, reads it, appends to its log, lets go of it.

Promises: whoever was fenced off, because its claim lapsed and another took the session up, appends nothing.
"""

from msgspec import Struct

from rota.base.who import Who
from rota.resources.agents.wire import ThreadAgent
from rota.resources.environments.wire import Config
from rota.resources.sessions import sql


class TurnSession(Struct, frozen=True, kw_only=True):
    """A session as the engine sees it, read when it was taken up. ``thread_id`` is the primary thread's; ``agent`` the
    effective one, overrides included; ``environment`` the configuration of the session's environment."""

    id: str
    who: Who
    thread_id: str
    epoch: int
    agent: ThreadAgent
    environment_id: str
    environment: Config
    self_hosted: bool
    body: sql.Body
