"""Objects in a bucket of S3, or of a service that speaks its language.

Promises: an object appears whole or not at all (a small one is one PUT, a large one a multipart upload that is completed at
the end); the event loop never waits for the network; at most three pieces of an upload and one of a download are in
memory. Does not make the bucket, and does not clear away the multipart uploads of writers that died: give the bucket a rule
that aborts incomplete ones after a day.
"""

import asyncio
import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rota.base.clock import Clock
from rota.base.errors import Fault, Unavailable, Unusable
from rota.store.blob import Written
from rota.store.blobs import location as names

R = TypeVar("R")

_THREADS = 8
_PIECE = 8 << 20
"""Bytes of one part of a multipart upload; 10,000 of them are allowed, so that 80 GB fit. Smaller objects are one PUT."""
_CHUNK = 1 << 20


class S3Blobs:
    """See ``store.blob.Blobs``. What is None is found where Amazon's own tools look."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.bucket = parts.netloc
        if not self.bucket or parts.query or parts.fragment:
            raise Unusable(f"The place for files {url!r} names no bucket; write s3://bucket or s3://bucket/prefix")
        self._above = parts.path.strip("/") + "/" if parts.path.strip("/") else ""
        self._clock = clock
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")
        self.client = _client(endpoint, region, access_key_id, secret_access_key)

    @asynccontextmanager
    async def write(self, prefix: str) -> AsyncGenerator["_Writer"]:
        """See ``Blobs.write``."""
        writer = _Writer(self, prefix)
        try:
            yield writer
        finally:
            await writer.leave()

    async def read(self, location: str, *, start: int = 0) -> AsyncIterator[bytes]:
        """See ``Blobs.read``."""
        key = self.key(location)
        extra = {"Range": f"bytes={start}-"} if start else {}
        try:
            answer = await self.run(lambda: self.client.get_object(Bucket=self.bucket, Key=key, **extra))
        except Unavailable as exc:
            if _code(exc.__cause__) == "InvalidRange":  # nothing is there behind the end
                return
            raise
        body: Any = answer["Body"]
        coming: asyncio.Future[bytes] | None = None
        try:
            while True:
                coming = self.run(lambda: body.read(_CHUNK))
                chunk = await asyncio.shield(coming)
                if not chunk:
                    return
                yield chunk
        finally:
            if coming is not None:  # not while a thread reads from it
                coming.add_done_callback(lambda done: (done.exception(), body.close()))

    async def remove(self, location: str) -> None:
        """See ``Blobs.remove``."""
        key = self.key(location)
        await self.run(lambda: self.client.delete_object(Bucket=self.bucket, Key=key))

    async def orphans(self, prefix: str, *, older_than: int) -> AsyncIterator[str]:
        """See ``Blobs.orphans``. A large object is as old as its first byte."""
        below = f"{self._above}{prefix}/"
        after = below
        while True:
            page: Any = await self.run(
                partial(self.client.list_objects_v2, Bucket=self.bucket, Prefix=below, StartAfter=after)
            )
            for entry in page.get("Contents", ()):
                after = entry["Key"]
                location = after.removeprefix(self._above)
                if names.is_location(location):
                    if names.written_at(location) >= older_than:
                        return
                    yield location
            if not page.get("IsTruncated"):
                return

    async def close(self) -> None:
        """See ``Blobs.close``."""
        await asyncio.to_thread(self._pool.shutdown)
        self.client.close()

    # For the writer

    def run(self, fn: Callable[[], R]) -> "asyncio.Future[R]":
        """Call ``fn`` in a thread; what the service says is told as Unavailable."""
        return asyncio.get_running_loop().run_in_executor(self._pool, _told, fn)

    def key(self, location: str) -> str:
        """The key of an object. Unavailable for what is no location of ours."""
        if not names.is_location(location):
            raise Unavailable(f"{location!r} is not the location of an object")
        return self._above + location

    def new(self, prefix: str) -> str:
        """A fresh location."""
        return names.new(prefix, self._clock.now())

    def now(self) -> int:
        """The present instant, by the house's clock."""
        return self._clock.now()


class _Writer:
    """See ``store.blob.Writer``. One part travels in a thread while the next is collected."""

    def __init__(self, place: S3Blobs, prefix: str) -> None:
        self._place = place
        self._prefix = prefix
        self._location = ""
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._digest = sha256()
        self._size = 0
        self._waiting = bytearray()
        self._under_way: asyncio.Future[None] | None = None
        """What a thread does for this object; nothing else does anything meanwhile, not even after a cancellation."""
        self._handed_over = False

    async def write(self, chunk: bytes) -> None:
        """See ``Writer.write``."""
        self._waiting += chunk
        self._size += len(chunk)
        if len(self._waiting) >= _PIECE:
            await self._settled()
            piece, self._waiting = bytes(self._waiting), bytearray()
            self._under_way = self._place.run(lambda: self._send(piece))

    async def finish(self) -> Written:
        """See ``Writer.finish``."""
        await self._settled()
        self._under_way = self._place.run(self._complete)
        await self._settled()
        self._handed_over = True
        return Written(self._location, self._size, self._digest.hexdigest(), self._place.now())

    async def leave(self) -> None:
        """Let go of what was sent, unless somebody knows where it is."""
        with suppress(Fault):
            await self._settled()
        if not self._handed_over and self._location:
            self._under_way = self._place.run(self._forget)
            with suppress(Fault):
                await self._settled()

    async def _settled(self) -> None:
        if self._under_way is not None:
            await asyncio.shield(self._under_way)

    # In a thread

    def _send(self, piece: bytes) -> None:
        """One part of a large object."""
        client, bucket = self._place.client, self._place.bucket
        self._digest.update(piece)
        if self._upload_id is None:
            self._location = self._place.new(self._prefix)
            begun = client.create_multipart_upload(Bucket=bucket, Key=self._place.key(self._location))
            self._upload_id = begun["UploadId"]
        number = len(self._parts) + 1
        sent = client.upload_part(
            Bucket=bucket, Key=self._place.key(self._location), UploadId=self._upload_id, PartNumber=number, Body=piece
        )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _complete(self) -> None:
        client, bucket = self._place.client, self._place.bucket
        rest = bytes(self._waiting)
        if self._upload_id is None:
            self._digest.update(rest)
            self._location = self._place.new(self._prefix)
            client.put_object(Bucket=bucket, Key=self._place.key(self._location), Body=rest)
            return
        if rest:
            self._send(rest)
        client.complete_multipart_upload(
            Bucket=bucket,
            Key=self._place.key(self._location),
            UploadId=self._upload_id,
            MultipartUpload={"Parts": self._parts},
        )
        self._upload_id = None

    def _forget(self) -> None:
        client, bucket, key = self._place.client, self._place.bucket, self._place.key(self._location)
        if self._upload_id is not None:
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=self._upload_id)
        else:
            client.delete_object(Bucket=bucket, Key=key)


def _client(endpoint: str | None, region: str | None, key_id: str | None, secret: str | None) -> Any:
    try:
        boto3: Any = importlib.import_module("boto3")
        config: Any = importlib.import_module("botocore.config")
    except ImportError:
        raise Unusable("Files in S3 need the extra: pip install 'rota[s3]'") from None
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=config.Config(
                connect_timeout=5,
                read_timeout=30,
                max_pool_connections=_THREADS,
                retries={"mode": "standard", "total_max_attempts": 3},
                # Other services than Amazon's do not know the newer checksums; ours is kept in the row.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
    except Exception as exc:  # the library's errors of configuration have no base of their own
        raise Unusable(f"S3 cannot be used as it is configured: {exc}") from exc


def _told(fn: Callable[[], R]) -> R:
    """What ``fn`` gives; whatever the library or the service says, as Unavailable."""
    try:
        return fn()
    except Fault:
        raise
    except Exception as exc:  # a service of many makers fails in many ways, and all of them mean this
        raise Unavailable(f"files in S3: {exc}") from exc


def _code(error: BaseException | None) -> str:
    response: Any = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
