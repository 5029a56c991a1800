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
