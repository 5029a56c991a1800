"""How answers look: tables for people, JSON for machines.

Promises: an id is never cut short; where nobody looks (a pipe, a file) lines may be long instead of wrapped.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 200
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")
_FIRST = ("id", "name", "title", "status", "created_at", "error")
"""The columns that a narrow page keeps."""
_LAST = ("archived_at", "updated_at", "created_at", "metadata")


def console(*, stderr: bool = False) -> Console:
    """The terminal, or a wide page where there is none."""
    screen = Console(stderr=stderr, highlight=False)
    return screen if screen.is_terminal else Console(stderr=stderr, highlight=False, width=_PIPE_WIDTH)


def json(value: Any) -> None:
    """Print a value as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None, empty: str = "Nothing here."
) -> None:
    """Print rows under their columns, or ``empty``."""
    screen = console()
    if not rows:
        screen.print(empty)
        return
    shown = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    cells = [[_cell(value) for value in row] for row in rows]
    for index, column in enumerate(columns):
        is_id = column == "id" or column.endswith("_id")
        width = max(row[index].cell_len for row in cells) if is_id else None
        shown.add_column(column, no_wrap=is_id, overflow="fold", min_width=width)
    for row in cells:
        shown.add_row(*row)
    screen.print(shown)


def thing(fields: Mapping[str, Any], *, title: str | None = None) -> None:
    """Print one object, a line a field; what is nested is shown as JSON, a list of plain objects as a table below."""
    shown = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    tables = {name: value for name, value in fields.items() if _is_table(value)}
    for name, value in fields.items():
        if name not in tables:
            shown.add_row(escape(name), _cell(value, nested=True))
    console().print(shown)
    for name, rows in tables.items():
        console().print()
        columns = [column for column in rows[0] if any(row[column] is not None for row in rows)]
        table(columns, [[row[column] for column in columns] for row in rows], title=name)


def _is_table(value: Any) -> bool:
    """Whether a value is a list of several plain objects with the same fields."""
    if not isinstance(value, list) or not value:
        return False
    rows = cast("list[Any]", value)
    if not all(isinstance(row, dict) and len(cast("dict[str, Any]", row)) > 1 for row in rows):
        return False
    names = cast("dict[str, Any]", rows[0]).keys()
    return all(row.keys() == names and all(_is_plain(each) for each in row.values()) for row in rows)


def listing(items: Sequence[Mapping[str, Any]]) -> None:
    """Print a list's items as a table of the fields that are plain values somewhere in it, as many as the page is wide."""
    names: list[str] = []
    for item in items:
        names += [name for name, value in item.items() if name not in names and _is_plain(value)]
    names = [name for name in names if name != "type" and any(item.get(name) is not None for item in items)]
    names.sort(key=lambda name: (name != "id", _LAST.index(name) if name in _LAST else -1))
    widths = {name: max(len(name), *(_cell(item.get(name)).cell_len for item in items)) + 2 for name in names}
    room, left_out = console().width + 2, list[str]()
    for name in sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)):
        if widths[name] <= room or name == "id":
            room -= widths[name]
        else:
            left_out.append(name)
    table(
        [name for name in names if name not in left_out],
        [[item.get(name) for name in names if name not in left_out] for item in items],
    )
    if left_out:
        console(stderr=True).print(f"No room for {', '.join(left_out)}; --json shows everything.", style="dim")


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _cell(value: Any, *, nested: bool = False) -> Text:
    if value is None:
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, datetime):
        return Text(value.strftime("%Y-%m-%d %H:%M:%S UTC"))
    if isinstance(value, str):
        instant = _INSTANT.fullmatch(value)
        return Text(f"{instant[1]} {instant[2]} UTC" if instant else value)
    if isinstance(value, int | float):
        return Text(str(value))
    text = msgspec.json.encode(value)
    return Text(
        msgspec.json.format(text, indent=2 if nested and len(text) > 60 else -1).decode() if nested else text.decode()
    )
