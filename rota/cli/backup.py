"""``rota backup`` and ``rota restore``: a copy of everything that the server keeps, and a server from such a copy.

A backup is a folder: ``backup.json`` (what it is), ``rota.db`` or ``rota.dump`` (the database), ``blobs`` (the bytes of files and
skills, if they are in a folder of this machine), and ``seal.key`` if it was asked for.

Promises: taken beside a live server; the database first and the objects after it, so that what the one names is in the other;
the folder gets its name when it is whole; an existing thing is never written over. Does not copy buckets.
"""

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import click
import msgspec
from msgspec import Struct

from rota.base.clock import SystemClock, to_datetime
from rota.base.errors import Unusable
from rota.base.settings import Settings, load
from rota.cli import show
from rota.cli.options import as_json, setting_flags
from rota.main import own_version
from rota.store import backup as copies
from rota.store.db import is_sqlite, sqlite_path
from rota.store.place import folder_of
from rota.store.standing import standing

_place = setting_flags("database", "data_dir", "blobs", "seal_key_file")
_FACTS, _KEY, _BLOBS = "backup.json", "seal.key", "blobs"


class Backup(Struct, kw_only=True, frozen=True, tag="backup", tag_field="type"):
    """What a backup holds. ``objects`` is None if they are elsewhere; ``schema`` is the database's last migration."""

    made_at: datetime
    version: str
    database: Literal["sqlite", "postgres"]
    schema: str
    objects: int | None
    key: bool


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--with-key", is_flag=True, help="Put the sealing key in, too. Whoever has the backup can then open its secrets."
)
@_place
@as_json
def backup(folder: Path, with_key: bool, json_: bool, **flags: Any) -> None:
    """Copy everything that is kept to a new FOLDER, beside a live server."""
    settings = load(flags)
    folder = folder.expanduser().absolute()
    if folder.exists():
        raise Unusable(f"{folder} exists. A backup goes to a new folder.")
    draft = folder.with_name(folder.name + ".part")
    if draft.exists():
        raise Unusable(f"{draft} exists: another backup is under way, or one was cut short. If so, remove it.")
    key = _key(settings) if with_key else None
    try:
        draft.mkdir(mode=0o700, parents=True)
    except OSError as exc:
        raise Unusable(f"{draft} cannot be made: {exc.strerror}") from exc
    try:
        made = _fill(settings, draft, key)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if json_:
        show.json(made)
        return
    bytes_ = "not the bytes of files, which are in a bucket" if made.objects is None else f"{made.objects:,} objects"
    click.echo(
        f"Backed up to {folder}: the database, {bytes_}, {'the sealing key' if made.key else 'not the sealing key'}."
    )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_place
@as_json
def restore(folder: Path, json_: bool, **flags: Any) -> None:
    """Make the database, objects and key from the backup in FOLDER. There must be none yet."""
    settings = load(flags)
    try:
        made = msgspec.json.decode((folder / _FACTS).read_bytes(), type=Backup)
    except (OSError, msgspec.MsgspecError) as exc:
        raise Unusable(f"{folder} is no backup that `rota backup` finished: {exc}") from exc
    embedded = is_sqlite(settings.database_url)
    if embedded != (made.database == "sqlite"):
        raise Unusable(f"The backup is of {made.database}; --database names another kind. Restore it to its own kind.")
    place = folder_of(settings.blobs_url)
    if made.objects is not None and place is None:
        raise Unusable("The backup has the bytes of files in a folder; name one with --blobs file:///path.")
    key = (folder / _KEY).read_bytes() if made.key else None
    path = settings.seal_key_path
    if key is not None and path.exists() and path.read_bytes() != key:
        raise Unusable(
            f"{path} holds another sealing key than the backup. Move it away, or name another --seal-key-file."
        )
    if made.objects is not None and place is not None:  # before the database, which names them
        copies.copy_objects(folder / _BLOBS, place)
    if key is not None and not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _put(path, key)
    if embedded:
        copies.restore_sqlite(folder / "rota.db", sqlite_path(settings.database_url))
    else:
        copies.restore_postgres(folder / "rota.dump", settings.database_url)
    if json_:
        show.json(made)
    else:
        click.echo(f"Restored the backup of {made.made_at:%Y-%m-%d %H:%M:%S} UTC. What happened since is not in it.")


def _fill(settings: Settings, folder: Path, key: bytes | None) -> Backup:
    where = standing(settings.database_url)
    if where.problem or not where.exists:
        raise Unusable(where.problem or f"There is no database at {settings.database_url.split('@')[-1]}.")
    if is_sqlite(settings.database_url):
        copies.copy_sqlite(sqlite_path(settings.database_url), folder / "rota.db")
    else:
        copies.dump_postgres(settings.database_url, folder / "rota.dump")
    place = folder_of(settings.blobs_url)
    made = Backup(
        made_at=to_datetime(SystemClock().now()),
        version=own_version(),
        database="sqlite" if is_sqlite(settings.database_url) else "postgres",
        schema=where.applied[-1],
        objects=None if place is None else copies.copy_objects(place, folder / _BLOBS),
        key=key is not None,
    )
    if key is not None:
        _put(folder / _KEY, key)
    _put(folder / _FACTS, msgspec.json.encode(made))
    return made


def _key(settings: Settings) -> bytes:
    if settings.seal_key is not None:
        raise Unusable(
            "The sealing key comes from ROTA_SEAL_KEY: keep it where you keep secrets, and leave --with-key out."
        )
    try:
        return settings.seal_key_path.read_bytes()
    except OSError as exc:
        raise Unusable(f"There is no sealing key at {settings.seal_key_path} to put in: {exc.strerror}") from exc


def _put(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
