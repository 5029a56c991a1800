"""The clock: schedules that fire exactly once, on time, on many machines."""
