"""SQL of the HTTP floor: kept replies of idempotent requests, and facts about the installation."""

from rota.store.tx import Insert, Query

FIND_KEY = Query(
    "The reply that a key is remembered with.",
    """SELECT fingerprint, reply FROM idempotency_keys
       WHERE scope = :scope AND route = :route AND key = :key AND created_at > :since""",
)
DROP_OLD_KEYS = Query(
    "Forget keys that are over their time.", "DELETE FROM idempotency_keys WHERE created_at <= :before"
)
KEEP_REPLY = Insert(
    "Remember a reply.",
    "idempotency_keys",
    {"scope": "text", "route": "text", "key": "text", "fingerprint": "text", "reply": "text", "created_at": "bigint"},
)
GET_FACT = Query("A fact about this installation.", "SELECT value FROM installation WHERE key = :key")
PUT_FACT = Query(
    "Settle a fact, unless it is settled already.",
    "INSERT INTO installation (key, value) VALUES (:key, :value) ON CONFLICT (key) DO NOTHING",
)
PING = Query("Whether the database answers.", "SELECT 1")
