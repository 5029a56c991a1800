"""Turns sessions: takes up those that want a turn, asks models, runs tools, and appends what came of it to their logs."""
