"""Where environments rest. Columns: what SQL filters, orders or constrains on; the rest is in ``body``."""

import msgspec
from msgspec import Struct

from rota.base.clock import to_datetime, to_datetime_or_none
from rota.base.wire import Metadata, encode
from rota.resources.environments.wire import Config, Environment, Scope
from rota.store.tx import Insert, Listing, Query, Row

_COLUMNS = "id, created_at, updated_at, archived_at, name, body"

INSERT = Insert(
    "Keep a new environment.",
    "environments",
    {
        "id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "archived_at": "bigint",
        "name": "text",
        "body": "text",
        "workspace_id": "text",
    },
)
GET = Query(
    "One environment of a workspace.",
    f"SELECT {_COLUMNS} FROM environments WHERE id = :id AND workspace_id = :workspace_id",
)
GET_MANY = Query(
    "Environments by id, for sets of runs and sessions.",
    "SELECT id, workspace_id, archived_at, body FROM environments WHERE id = ANY(:ids)",
)
BY_NAME = Query(
    "Another live environment with this name.",
    "SELECT id FROM environments WHERE workspace_id = :workspace_id AND name = :name AND archived_at IS NULL AND id <> :id",
)
LIST = Listing(
    "Environments of a workspace, newest first.",
    f"SELECT {_COLUMNS} FROM environments WHERE workspace_id = :workspace_id",
    filters={"live": "archived_at IS NULL AND :live = 1"},
    weight="body",
)
UPDATE = Query(
    "Replace an environment's changeable parts.",
    "UPDATE environments SET updated_at = :updated_at, archived_at = :archived_at, name = :name, body = :body WHERE id = :id",
)
DELETE = Query("Remove an environment.", "DELETE FROM environments WHERE id = :id")


class Body(Struct, frozen=True, kw_only=True):
    """The fields that SQL never looks at."""

    config: Config
    description: str | None = None
    metadata: Metadata = {}
    scope: Scope = "organization"


class BodyConfig(Struct, frozen=True):
    """Just the configuration, for those who need no more."""

    config: Config


_decoder = msgspec.json.Decoder(Body)
_config_decoder = msgspec.json.Decoder(BodyConfig)


def to_environment(row: Row) -> Environment:
    """A row of ``GET`` or ``LIST`` as it goes out."""
    body = _decoder.decode(row[5])
    return Environment(
        id=row[0],
        name=row[4],
        description=body.description,
        config=body.config,
        metadata=body.metadata,
        scope=body.scope,
        created_at=to_datetime(row[1]),
        updated_at=to_datetime(row[2]),
        archived_at=to_datetime_or_none(row[3]),
    )


def to_config(body: str) -> Config:
    """The configuration in a row's ``body``."""
    return _config_decoder.decode(body).config


def to_body(environment: Environment) -> str:
    """The ``body`` column."""
    return encode(
        Body(
            config=environment.config,
            description=environment.description,
            metadata=environment.metadata,
            scope=environment.scope,
        )
    ).decode()
