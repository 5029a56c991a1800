"""A PostgreSQL database that one test has used is lent to the next as if it were new, or not at all."""

import psycopg
import pytest

from tests.databases import Lent


def do(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def test_rows_are_gone_and_so_is_whoever_was_connected(lent: Lent) -> None:
    with lent.one() as url:
        do(url, "INSERT INTO stamps (topic, value) VALUES ('left', 1)")
        stranger = psycopg.connect(url)
        stranger.execute("SELECT * FROM stamps FOR UPDATE")
    with lent.one() as again:
        assert again == url
        assert do(again, "SELECT * FROM stamps") == []
        assert do(again, "SELECT count(*) > 0 FROM migrations") == [(True,)]
        with pytest.raises(psycopg.OperationalError):
            stranger.execute("SELECT 1")
    stranger.close()


@pytest.mark.parametrize(
    "spoil",
    [
        "CREATE TABLE more (id TEXT)",
        "ALTER TABLE stamps ADD COLUMN more TEXT",
        "ALTER TABLE stamps DROP COLUMN value",
        "CREATE INDEX more ON stamps (value)",
        "ALTER TABLE deployment_runs DISABLE TRIGGER deployment_runs_append_only",
        "DROP TRIGGER deployment_runs_append_only ON deployment_runs",
        "CREATE OR REPLACE FUNCTION refuse_rewriting_runs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "ALTER TABLE stamps ADD CONSTRAINT more CHECK (topic <> '')",
        "ALTER TABLE stamps ALTER COLUMN value SET DEFAULT 1",
        "DELETE FROM migrations",
        "CREATE SCHEMA more",
        "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET timezone = UTC'; END $$",
        "INSERT INTO stamps SELECT number::text || repeat('x', 500), 1 FROM generate_series(1, 40000) AS number",
    ],
)
def test_one_that_is_no_longer_what_it_was_is_not_lent_again(lent: Lent, spoil: str) -> None:
    with lent.one() as url:
        do(url, spoil)
    with lent.one() as another:
        assert another != url
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        do(url, "SELECT 1")
