"""``rota keys rotate``: a new sealing key, and every stored secret wrapped with it, beside a live server.

Promises: the new key is in the file before any secret needs it, and servers that read that file follow at their next
secret; secrets are wrapped anew in short transactions, a hundred at a time, and only their data keys, never what they hold;
a run that is cut short is taken up by the next, which adds no further key before the old ones are done; a key is retired
only when no secret needs it any more.
Does not reach files of other machines, nor a key that comes from the environment: there it says what to do.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import click
from msgspec import Struct, field
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from rota import api, main
from rota.base import key_file
from rota.base.clock import SECOND, SystemClock
from rota.base.errors import Unusable
from rota.base.seal import Sealer, key_id_of
from rota.base.settings import Settings, load
from rota.cli import show
from rota.cli.options import as_json, setting_flags
from rota.store.db import Db
from rota.store.sealed import SealedColumn, keys_named
from rota.store.tx import Row

_BATCH: Final = 100
_GRACE: Final = 60
"""Seconds after which no write that began with an old key can still be under way."""
_MAX_PASSES: Final = 100


class Outcome(Struct, kw_only=True):
    """What was done. ``lost`` counts secrets by the id of a key that is not there, ``altered`` those that fit no key."""

    sealing_key: str
    added: bool = False
    rewrapped: dict[str, int] = field(default_factory=dict[str, int])
    lost: dict[str, int] = field(default_factory=dict[str, int])
    altered: int = 0
    retired: list[str] = field(default_factory=list[str])


@click.command()
@click.option(
    "--retire", is_flag=True, help="Take the old keys out of the file instead, if no secret needs them any more."
)
@setting_flags("database", "data_dir", "seal_key_file")
@as_json
def rotate(retire: bool, json_: bool, **flags: Any) -> None:
    """Seal with a new key from now on, and wrap every stored secret with it."""
    settings = load(flags)
    with _alone(settings):
        if retire:
            outcome = asyncio.run(_retire(settings))
        else:
            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
            with Progress(*columns, console=show.console(stderr=True), disable=json_) as bars:
                outcome = asyncio.run(_rotate(settings, bars))
    if json_:
        show.json(outcome)
    elif retire:
        click.echo(f"Retired: {', '.join(outcome.retired) or 'nothing, there was one key only'}. Back the key file up.")
    else:
        _tell(outcome, settings)
    if outcome.lost or outcome.altered:
        sys.exit(1)


def _alone(settings: Settings) -> AbstractContextManager[None]:
    """No other command changes the key file meanwhile."""
    if settings.seal_key is not None:
        return nullcontext()
    if not settings.seal_key_path.exists():
        raise Unusable(
            f"There is no sealing key at {settings.seal_key_path}; one is made when the first secret is stored."
        )
    return key_file.changing(settings.seal_key_path)


async def _rotate(settings: Settings, bars: Progress) -> Outcome:
    sealer = key_file.load(settings.seal_key, settings.seal_key_path)
    db = main.open_store(settings)
    try:
        named = await db.read(keys_named, api.SEALED)
        if named and not sealer.key_ids & named.keys():
            raise Unusable(
                f"None of the stored secrets is sealed with a key of {settings.seal_key_path}. Is it the file that the server uses?"
            )
        added = sealer.key_ids & named.keys() <= {sealer.current}  # otherwise an earlier run is taken up
        if added and settings.seal_key is None:
            sealer = _add(settings.seal_key_path)
        elif added and len(sealer.key_ids) == 1:
            raise Unusable(
                "The sealing key comes from ROTA_SEAL_KEY, which rota cannot change. Put a new key in front of it, a space "
                "between the two (`openssl rand -base64 32 | tr '+/' '-_'` makes one), restart every server with that, and run "
                "this again: it wraps what the old key has sealed, and the old key can go."
            )
        outcome = Outcome(sealing_key=sealer.current, added=added and settings.seal_key is None)
        for number in range(1, _MAX_PASSES + 1):
            outcome.lost, outcome.altered = {}, 0
            changed = 0
            for column in api.SEALED:
                total = await db.read(column.count)
                task = bars.add_task(column.table if number == 1 else f"{column.table}, once more", total=total)
                changed += await _walk(db, column, sealer, outcome, lambda step, task=task: bars.advance(task, step))
                bars.update(task, completed=total)
            if not changed:  # nothing was sealed with an old key since the last walk
                return outcome
        raise Unusable(
            "Secrets are still being sealed with an old key: does every server read this key file? Run this again."
        )
    finally:
        await db.close()


def _add(path: Path) -> Sealer:
    """Put a new key in front of those in the file."""
    key_file.replace(path, [key_file.new_key(), *path.read_text().split()])
    return key_file.load(None, path)


async def _walk(db: Db, column: SealedColumn, sealer: Sealer, outcome: Outcome, advance: Callable[[int], None]) -> int:
    """Wrap what is not sealed with the current key; how much that was."""
    changed, after = 0, None
    while rows := await db.read(column.rows, after, _BATCH):
        after = rows[-1][0]
        due: list[Row] = []
        for key, envelope in rows:
            try:
                name = key_id_of(envelope)
            except ValueError:
                outcome.altered += 1
                continue
            if name not in sealer.key_ids:
                outcome.lost[name] = outcome.lost.get(name, 0) + 1
            elif name != sealer.current:
                due.append(key)
        if due:
            done = await db.write(column.rewrap, due, sealer)
            changed += done.changed
            outcome.altered += done.broken
        advance(len(rows))
    outcome.rewrapped[column.table] = outcome.rewrapped.get(column.table, 0) + changed
    return changed


async def _retire(settings: Settings) -> Outcome:
    path = settings.seal_key_path
    if settings.seal_key is not None:
        raise Unusable("The sealing key comes from ROTA_SEAL_KEY: take the old key out of it, and restart the servers.")
    sealer = key_file.load(None, path)
    old = sorted(sealer.key_ids - {sealer.current})
    db = main.open_store(settings)
    try:
        named = await db.read(keys_named, api.SEALED)
    finally:
        await db.close()
    if needed := {name: named[name] for name in old if named.get(name)}:
        counts = ", ".join(f"{count:,} with {name}" for name, count in needed.items())
        raise Unusable(
            f"Secrets are still sealed with old keys ({counts}). Run `rota keys rotate` first; it goes on by itself."
        )
    wait = _GRACE - (SystemClock().now() - path.stat().st_mtime_ns // 1000) // SECOND
    if old and wait > 0:
        raise Unusable(
            f"The key file was changed just now, and a write that began before may still end. Wait {wait} seconds."
        )
    if old:
        key_file.replace(path, path.read_text().split()[:1])
    return Outcome(sealing_key=sealer.current, retired=old)


def _tell(outcome: Outcome, settings: Settings) -> None:
    key = f"the key {outcome.sealing_key}"
    click.echo(f"Added {key}; it seals from now on." if outcome.added else f"Took up an earlier rotation to {key}.")
    parts = ", ".join(f"{table} {count:,}" for table, count in outcome.rewrapped.items() if count)
    click.echo(f"Wrapped {sum(outcome.rewrapped.values()):,} secrets with it{f': {parts}' if parts else ''}.")
    for name, count in outcome.lost.items():
        click.echo(
            f"{count:,} cannot be opened: their key {name} is not there. Put it back from a backup, and run this again."
        )
    if outcome.altered:
        click.echo(
            f"{outcome.altered:,} do not fit the rows that they are in: they were moved or altered, and must be set anew."
        )
    if settings.seal_key is not None:
        click.echo("The other keys can be taken out of ROTA_SEAL_KEY.")
    else:
        click.echo(
            f"Back {settings.seal_key_path} up. After a minute `rota keys rotate --retire` takes the old keys out of it."
        )
