"""SQL of the command line: what a database says about its own history."""

from rota.store.tx import Query

HISTORY = Query("The migrations that were applied, in order.", "SELECT number, name, checksum FROM migrations ORDER BY number")
