"""Who is asking: the outcome of admission, handed to every action.

Does not authenticate (``http/admit.py`` does) and holds no secret.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

Scope: TypeAlias = Literal["workspace", "admin", "environment", "session"]
Access: TypeAlias = Literal["read_only", "read_write"]
"""What a session may do with a memory store that is attached to it."""


class Who(Struct, frozen=True, kw_only=True):
    """One admitted caller.

    ``scope`` says what the credential opens: a workspace's resources, the organization's admin routes, one environment's work
    and sessions, or what one hand-out of an item of work is about: ``session_id``, ``work_id`` and the ``memory_stores`` that
    are attached to the session. ``superseded``: that hand-out is over. ``workspace_id`` is empty for an admin key. The flags
    were true when the key was looked up; whatever must be exact reads them again inside its transaction. ``expires_at`` is in
    microseconds UTC.
    """

    organization_id: str
    workspace_id: str
    key_id: str
    scope: Scope = "workspace"
    environment_id: str | None = None
    session_id: str | None = None
    work_id: str | None = None
    memory_stores: Mapping[str, Access] = {}
    superseded: bool = False
    workspace_archived: bool = False
    organization_disabled: bool = False
    expires_at: int | None = None
