-- A claim of the turn engine: ``held_until`` is when it lapses unless the holder says that it still works. A session whose
-- claim has lapsed is anybody's; what the former holder still writes is refused by ``run_epoch``.
ALTER TABLE sessions ADD COLUMN held_until INTEGER;
-- What the engine must remember of an event and nobody is shown: the model's whole reply, that a tool was started.
ALTER TABLE session_events ADD COLUMN notes TEXT;
-- What waits stands at the end of the log until it is consumed, and then takes its place in it.
UPDATE session_events SET position = position + 4503599627370496 WHERE processed_at IS NULL;
