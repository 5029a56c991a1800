"""SQL of the test clock."""

from rota.store.tx import Query

BEGIN_CLOCK = Query(
    "Let the test clock show the present, unless it has been kept from before.",
    "INSERT INTO installation (key, value) VALUES ('test_clock', :now) ON CONFLICT (key) DO NOTHING",
)
GET_CLOCK = Query("What the test clock shows.", "SELECT value FROM installation WHERE key = 'test_clock'")
SET_CLOCK = Query("Turn the test clock.", "UPDATE installation SET value = :now WHERE key = 'test_clock'")
