"""Options that come from the settings, so that no flag is described twice."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from rota.base.settings import Described, describe

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON, for machines.")


def setting_flags(*names: str) -> Callable[[F], F]:
    """A decorator that adds the flags of the named settings, or of all; their values are None unless given."""

    def decorate(command: F) -> F:
        for described in reversed(describe()):
            if described.flag and (not names or described.name in names):
                command = _flag(described)(command)
        return command

    return decorate


def _flag(described: Described) -> Callable[[F], F]:
    notes = [described.variable]
    if described.default:
        notes.append(f"default {described.default}")
    sentence = f"{described.description.replace('`', '')}  [{'; '.join(notes)}]"
    name = described.flag.removeprefix("--")
    if described.kind == "boolean":
        return click.option(f"--{name}/--no-{name}", described.name, default=None, help=sentence)
    return click.option(described.flag, described.name, metavar=_metavar(described), help=sentence)


def _metavar(described: Described) -> str:
    if " or " in described.kind:
        return "|".join(described.kind.split(" or "))
    return "N" if described.kind == "integer" else "TEXT"
