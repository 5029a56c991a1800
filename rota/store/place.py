"""Where objects are kept, by URL: a folder of this machine, or a bucket."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from rota.base.clock import Clock
from rota.base.errors import Unusable
from rota.store.blob import Blobs


def folder_of(url: str) -> Path | None:
    """The folder of ``file:///path``, or None for another kind of place. Unusable if the URL names no folder."""
    if not url.startswith("file:"):
        return None
    path = unquote(urlsplit(url).path)
    if not url.startswith("file:///") or path == "/":
        raise Unusable(f"The place for files {url!r} names no folder; write file:///path/to/blobs")
    return Path(path)


def open_blobs(
    url: str,
    clock: Clock,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
) -> Blobs:
    """The place that ``url`` names: ``file:///path`` or ``s3://bucket/prefix``. Makes nothing and asks nobody yet.

    The rest is for S3; what is None is found where Amazon's own tools look. Unusable if the URL is of no known kind, or needs
    a library that is not installed.
    """
    if (folder := folder_of(url)) is not None:
        from rota.store.blobs.directory import DirectoryBlobs  # each kind is loaded only where it is used

        return DirectoryBlobs(folder, clock)
    if url.startswith("s3://"):
        from rota.store.blobs.s3 import S3Blobs  # its library costs 150 ms and 30 MB, and is an extra

        return S3Blobs(
            url, clock, endpoint=endpoint, region=region, access_key_id=access_key_id,
            secret_access_key=secret_access_key,
        )  # fmt: skip
    raise Unusable(f"The place for files {url.split(':', 1)[0]!r}:… is of no known kind; write file:///… or s3://…")
