"""The root of the command line: which commands there are, and how every one of them fails.

Promises: a command's module is loaded when that command is asked for, so that ``rota serve`` carries no terminal or client
library; what cannot work as configured is one clear line on stderr and exit code 1, never a traceback.
"""

import importlib
import sys
from typing import NoReturn

import click

from rota.base import log
from rota.base.errors import Fault, Refusal, Unusable
from rota.base.log import redact
from rota.main import own_version

_COMMANDS = {
    "serve": ("serve", "Run the server."),
    "demo": ("demo", "See a deployment run, from an empty folder, and end."),
    "doctor": ("doctor", "What is configured, what is reachable, what is wrong and how to mend it."),
    "migrate": ("admin", "Bring the database to this version's schema."),
    "backup": ("backup", "Copy everything that is kept, beside a live server."),
    "restore": ("backup", "Make the database from a backup."),
    "keys": ("admin", "Make, list and revoke keys; rotate the one that seals secrets."),
    "workspaces": ("admin", "Make, list and archive workspaces."),
    "organizations": ("admin", "Show, disable and enable the organization."),
    "api": ("verbs", "Every route of the API as a command."),
}
"""Name to module and sentence. Every other name is a noun of the API, with the verbs that its routes give it."""


class Root(click.Group):
    """Finds commands by name, in the table above or among the API's nouns."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Our own commands first, then the API's nouns."""
        verbs = importlib.import_module("rota.cli.verbs")
        return [*_COMMANDS, *(noun for noun in verbs.api.commands if noun not in _COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, its module loaded only now."""
        if cmd_name in _COMMANDS:
            module = importlib.import_module(f"rota.cli.{_COMMANDS[cmd_name][0]}")
            return getattr(module, cmd_name)
        verbs = importlib.import_module("rota.cli.verbs")
        return verbs.api.get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Two lists, so that a reader sees which commands act here and which ask a server."""
        nouns = [name for name in self.list_commands(ctx) if name not in _COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in _COMMANDS.items()])
        with formatter.section("Nouns of the API, asked of the server at ROTA_URL with ROTA_API_KEY"):
            formatter.write_dl([(name, f"rota {name} --help shows its verbs.") for name in nouns])


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(own_version(), prog_name="rota")
def cli() -> None:
    """rota: a self-hosted server for the Managed Agents API."""
    log.configure(level="warning")  # on stderr, so that stdout holds nothing but a command's answer


def main() -> NoReturn:
    """Run the command line, and end the process with its exit code."""
    try:
        cli.main(prog_name="rota")
    except Unusable as exc:
        _fail(str(exc))
    except Refusal as exc:
        _fail(exc.message)
    except Fault as exc:
        _fail(f"{exc.sentence} ({exc})")
    sys.exit(0)


def _fail(text: str) -> NoReturn:
    click.echo(f"rota: {redact(text)}", err=True)
    sys.exit(1)
