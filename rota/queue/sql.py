"""SQL of the outbox."""

from rota.store.tx import Insert, Query

ANNOUNCE = Insert(
    "Leave announcements to be delivered.",
    "outbox",
    {
        "id": "text",
        "created_at": "bigint",
        "organization_id": "text",
        "workspace_id": "text",
        "event": "text",
        "resource_id": "text",
        "data": "text",
    },
)
DROP_OLD = Query(
    "Forget the oldest announcements that nobody fetched in time, so many at once.",
    """DELETE FROM outbox WHERE id IN
       (SELECT id FROM outbox WHERE created_at < :before ORDER BY created_at LIMIT :limit)""",
)
_COLUMNS = "id, created_at, organization_id, workspace_id, event, resource_id, data"
OLDEST = Query(
    "Announcements that wait, the oldest first.",
    f"SELECT {_COLUMNS} FROM outbox ORDER BY created_at, id LIMIT :limit",
)
OLDEST_OF_ORGANIZATION = Query(
    "Announcements of one organization that wait, the oldest first.",
    f"SELECT {_COLUMNS} FROM outbox WHERE organization_id = :organization_id ORDER BY created_at, id LIMIT :limit",
)
REMOVE = Query("Take announcements out.", "DELETE FROM outbox WHERE id = ANY(:ids)")
BURY = Insert(
    "Say that objects are to be removed; saying it twice is once.",
    "buried_objects",
    {"location": "text", "buried_at": "bigint"},
    suffix="ON CONFLICT (location) DO NOTHING",
)
IS_BURIED = Query(
    "Whether an object is to be removed or has been.", "SELECT 1 FROM buried_objects WHERE location = :location"
)
BURIED = Query(
    "Those of some objects that are to be removed or have been.",
    "SELECT location FROM buried_objects WHERE location = ANY(:locations)",
)
WAITING = Query(
    "Objects that are to be removed, the first first.",
    "SELECT location FROM buried_objects WHERE removed_at IS NULL ORDER BY buried_at LIMIT :limit",
)
NOTE_REMOVAL = Query(
    "Remember that objects have been removed.",
    "UPDATE buried_objects SET removed_at = :now WHERE location = ANY(:locations) AND removed_at IS NULL",
)
FORGET_BURIALS = Query(
    "Forget removals of long ago.", "DELETE FROM buried_objects WHERE removed_at IS NOT NULL AND removed_at < :before"
)
