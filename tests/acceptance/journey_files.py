"""The part of the journey that is about files. Runs by itself beside ``journey``, with nothing but the client."""

import io
from typing import Any

from drive import Drive

TABLE = b"name,desk\nAda,7\n"


async def files(drive: Drive, style: str, clerk: str, office: str) -> dict[str, Any]:
    """Files from their upload to their end. Clients that know only the dated shape ask for it by themselves."""
    seen: dict[str, Any] = {}
    upload, listed = "beta.files.upload", "beta.files.list"
    seen["uploaded"] = await drive.do(upload, file=(f"{style}.csv", TABLE, "text/csv"))
    seen["guessed"] = await drive.do(upload, file=("notes.txt", io.BytesIO(b"Buy ink.")))
    seen["large"] = await drive.do(upload, file=("large.bin", b"x" * 3_000_000))
    seen["twin"] = await drive.do(upload, file=("twin.csv", TABLE, "text/csv"))
    seen["expiring"] = await drive.do(upload, file=("brief.txt", b"Soon gone."), expires_in_seconds=3600)
    mine = [seen[name]["id"] for name in ("expiring", "twin", "large", "guessed", "uploaded")]
    table = seen["uploaded"]["id"]
    seen["mine"] = mine
    seen["retrieved"] = await drive.do("beta.files.retrieve_metadata", table)
    seen["listed"] = [each["id"] for each in await drive.walk(listed, limit=2) if each["id"] in mine]
    seen["content"] = await drive.refused("beta.files.download", table)
    seen["too short"] = await drive.refused(upload, file=("a.txt", b"x"), extra_body={"expires_in_seconds": "60"})
    session = await drive.do(
        "beta.sessions.create",
        agent=clerk,
        environment_id=office,
        resources=[{"type": "file", "file_id": table, "mount_path": "/data.csv"}],
    )
    seen["session"] = session["id"]
    seen["mounted"] = await drive.walk("beta.sessions.resources.list", session["id"])
    seen["copies"] = await drive.walk(listed, scope_id=session["id"])
    seen["deleted"] = await drive.do("beta.files.delete", table)
    seen["retrieved deleted"] = await drive.refused("beta.files.retrieve_metadata", table)
    seen["deleted again"] = await drive.refused("beta.files.delete", table)
    seen["copies after"] = await drive.walk(listed, scope_id=session["id"])
    seen["stable"] = drive.has("files")
    if seen["stable"]:
        seen["by id"] = [each["id"] for each in await drive.walk("files.list", ids=mine)]
        seen["stable retrieved"] = await drive.do("files.retrieve_metadata", mine[1])
        seen["stable content"] = await drive.refused("files.download", mine[1])
        made = await drive.do("files.upload", file=("last.txt", b"Last."), expires_in_seconds=7_776_000)
        seen["stable deleted"] = await drive.do("files.delete", made["id"])
    return seen
