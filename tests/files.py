"""Files that tests begin with."""

from typing import Any

from rota.base import ids
from rota.resources.files import content, sql
from rota.store.blob import Written
from rota.store.tx import Tx
from tests.api import Api
from tests.forms import Field, file


def upload(
    api: Api,
    data: bytes = b"some bytes",
    filename: str = "a.txt",
    content_type: str = "text/plain",
    *,
    expires_in_seconds: int | None = None,
    key: str | None = None,
) -> dict[str, Any]:
    """A new file."""
    form = [file(data, filename, content_type)]
    if expires_in_seconds is not None:
        form.append(Field("expires_in_seconds", str(expires_in_seconds).encode()))
    return api.post("/v1/files", form=form, **({"key": key} if key else {})).ok()


def stored(api: Api, data: bytes) -> Written:
    """An object that no row names yet."""

    async def work() -> Written:
        async with api.house.blobs.write(content.PREFIX) as writer:
            await writer.write(data)
            return await writer.finish()

    return api.run(work())


def output(api: Api, session_id: str, data: bytes, filename: str, mime_type: str) -> str:
    """The id of a file that an agent wrote in a session, as the engine will keep it."""
    written = stored(api, data)

    def keep(tx: Tx) -> str:
        blob = content.keep(tx, api.who.workspace_id, written, api.house.app.policy)
        body = sql.Body(filename=filename, mime_type=mime_type, size_bytes=len(data), downloadable=True)
        file_id = ids.new(ids.FILE)
        tx.insert(sql.INSERT, [(file_id, api.who.workspace_id, tx.now, None, session_id, blob, sql.to_text(body))])
        return file_id

    return api.write(keep)
