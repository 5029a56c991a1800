"""The routes of files."""

from typing import Any

from rota.http.download import attachment
from rota.http.request import Request
from rota.http.route import Route
from rota.http.upload import plain
from rota.resources.files import actions, content, uploads, wire


async def upload(req: Request) -> Any:
    """Keep a file."""
    if req.policy.max_storage:  # before a byte is read: if nothing more fits, this will not either
        await req.read(lambda tx, who: content.check_room(tx, who.workspace_id, req.policy, 1))
    return await uploads.receive(
        req.parts(),
        req.blobs,
        req.db,
        lambda texts: plain(wire.UploadFile, texts),
        lambda sent, written: req.write(actions.create, sent, written, req.policy),
    )


async def list_(req: Request) -> Any:
    """List files, in the shape that the caller knows."""
    req.query.check()
    if req.asks_for(wire.DATED) or req.query.after_id or req.query.before_id:
        return await req.read(actions.list_dated, req.query)
    return await req.page(actions.list_, req.query)


async def retrieve(req: Request) -> Any:
    """Fetch what is known of one file."""
    return await req.read(actions.get, req.id)


async def download(req: Request) -> Any:
    """Fetch a file's bytes."""
    file, location = await req.read(actions.get_bytes, req.params[0])
    return await attachment(req, location, filename=file.filename, media_type=file.mime_type, size=file.size_bytes)


async def delete(req: Request) -> Any:
    """Delete a file."""
    return await req.write(actions.delete, req.id)


_OVERHEAD = 1 << 20
"""What a form may have around the file."""

ROUTES = [
    Route(
        "POST", "/v1/files", "files.upload", "Upload a file", upload,
        wire.File, upload=wire.UploadFile, writes=True, creates=True, max_body=wire.MAX_FILE + _OVERHEAD,
    ),
    Route(
        "GET", "/v1/files", "files.list", "List files, newest first", list_,
        wire.File, query=wire.ListFiles, paged=True, dated=wire.DatedFiles,
    ),
    Route(
        "GET", "/v1/files/{file_id}", "files.retrieve_metadata", "Retrieve what is known of a file", retrieve, wire.File,
    ),
    Route(
        "GET", "/v1/files/{file_id}/content", "files.download", "Download a file that an agent wrote", download, bytes,
        unopened="nothing",
    ),
    Route(
        "DELETE", "/v1/files/{file_id}", "files.delete", "Delete a file", delete, wire.FileDeleted, writes=True,
    ),
]  # fmt: skip
