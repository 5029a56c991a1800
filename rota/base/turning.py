"""How far sessions are turned: what the operator allows one turn, and one server."""

from msgspec import Struct


class Turning(Struct, frozen=True, kw_only=True):
    """``attempts``: how often a model is asked that fails. ``requests``: model requests that a turn may take. ``sessions``: how
    many one server turns at the same time. ``patience``: seconds that a step may take to end when the server stops."""

    attempts: int = 5
    requests: int = 500
    sessions: int = 100
    patience: float = 10.0
