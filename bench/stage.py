"""What a row is given: how long to look, a scratch folder of its own, and somebody to tell how far it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.rounds import Plan


class Stage(msgspec.Struct, frozen=True):
    """The surroundings of one row. `scratch` exists, is empty and goes away afterwards."""

    plan: Plan
    scratch: Path
    tell: Callable[[str], None]
