"""Who is asking: the outcome of admission, handed to every action.

Does not authenticate (``http/admit.py`` does) and holds no secret.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

Scope: TypeAlias = Literal["workspace", "admin", "environment"]


class Who(Struct, frozen=True, kw_only=True):
    """One admitted caller.

    ``scope`` says what the credential opens: a workspace's resources, the organization's admin routes, or one
    environment's work routes. ``workspace_id`` is empty for an admin key. The two flags were true when the key was looked
    up; whatever must be exact reads them again inside its transaction. ``expires_at`` is in microseconds UTC.
    """

    organization_id: str
    workspace_id: str
    key_id: str
    scope: Scope = "workspace"
    environment_id: str | None = None
    workspace_archived: bool = False
    organization_disabled: bool = False
    expires_at: int | None = None
