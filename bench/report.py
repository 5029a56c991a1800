"""What a row gives back, and how it is shown: one table for people, the same numbers as JSON.

A section is one row of the benchmark; its lines are arms (what was driven: rate, latency, CPU) and figures (what is
held against an aim). Every number is a median over rounds with the lowest and the highest beside it. A missed aim is
shown as missed and is never an error.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.machine import Machine
from bench.rounds import Sample, Spread, spread


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a section.

    `rate` is per second, `p50` and `p99` are milliseconds, `cpu` is milliseconds per operation by process; `figure`
    with its `unit` is what `aim` speaks about, and `met` says whether its median meets it.
    """

    what: str
    rate: Spread | None = None
    p50: Spread | None = None
    p99: Spread | None = None
    cpu: dict[str, Spread] | None = None
    client_cpu: Spread | None = None
    figure: Spread | None = None
    unit: str = ""
    aim: str = ""
    met: bool | None = None


class Section(msgspec.Struct, frozen=True):
    """One row of the benchmark. `durability` says what a 200 had survived; `failure` why it could not be measured."""

    number: int
    name: str
    title: str
    durability: str
    lines: list[Line]
    notes: list[str] = []
    failure: str = ""


class Results(msgspec.Struct, frozen=True):
    """Everything of one run of the benchmark."""

    quick: bool
    machine: Machine
    sections: list[Section]


class AtMost(msgspec.Struct, frozen=True):
    """An aim: not above."""

    limit: float

    def met(self, value: float) -> bool:
        return value <= self.limit

    def text(self, unit: str) -> str:
        return f"<= {self.limit:g} {unit}".rstrip()


class AtLeast(msgspec.Struct, frozen=True):
    """An aim: not below."""

    limit: float

    def met(self, value: float) -> bool:
        return value >= self.limit

    def text(self, unit: str) -> str:
        return f">= {self.limit:g} {unit}".rstrip()


def arm(what: str, samples: list[Sample], *, cpu_aim: AtMost | None = None) -> Line:
    """The line of something that was driven; with an aim, its CPU of all processes together is the figure."""
    figure = spread([sum(sample.cpu.values()) for sample in samples]) if cpu_aim else None
    return Line(
        what=what,
        rate=spread([sample.rate for sample in samples]),
        p50=spread([sample.p50 for sample in samples]),
        p99=spread([sample.p99 for sample in samples]),
        cpu={name: spread([sample.cpu[name] for sample in samples]) for name in samples[0].cpu},
        client_cpu=spread([sample.client_cpu for sample in samples]),
        figure=figure,
        unit="ms CPU" if figure else "",
        aim=cpu_aim.text("ms CPU") if cpu_aim else "",
        met=cpu_aim.met(figure.median) if cpu_aim and figure else None,
    )


def figure(what: str, value: Spread, unit: str, aim: AtMost | AtLeast | None = None) -> Line:
    """The line of a number that is not an arm: a ratio, a size, a time."""
    return Line(
        what=what,
        figure=value,
        unit=unit,
        aim=aim.text(unit) if aim else "",
        met=aim.met(value.median) if aim else None,
    )


def rate(what: str, values: list[float]) -> Line:
    """The line of something of which only the rate is known."""
    return Line(what=what, rate=spread(values))


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def shown(value: Spread | None) -> str:
    """Median, and lowest to highest in brackets."""
    if value is None:
        return ""
    if value.low == value.high:
        return number(value.median)
    return escape(f"{number(value.median)} [{number(value.low)}..{number(value.high)}]")


def median_only(value: Spread | None) -> str:
    """The median alone, where the spread would only make the table wide."""
    return "" if value is None else number(value.median)


def table_of(results: Results) -> Table:
    """The table alone."""
    table = Table(title="rota benchmark" + (" (quick: too short to quote)" if results.quick else ""))
    table.add_column("row", no_wrap=True)
    table.add_column("what", overflow="fold")
    for heading in ("per second", "p50 ms", "p99 ms", "CPU ms per op", "figure"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("aim", no_wrap=True)
    table.add_column("met", no_wrap=True)
    for section in results.sections:
        table.add_section()
        table.add_row(str(section.number), f"[bold]{section.title}[/bold]\n[dim]{section.durability}[/dim]")
        if section.failure:
            table.add_row("", f"[red]not measured: {escape(section.failure.splitlines()[0])}[/red]")
        for line in section.lines:
            cpu = line.cpu or {}
            table.add_row(
                "",
                "  " + line.what,
                shown(line.rate),
                median_only(line.p50),
                median_only(line.p99),
                "\n".join((f"{name} " if len(cpu) > 1 else "") + shown(value) for name, value in cpu.items()),
                f"{shown(line.figure)} {line.unit}".strip(),
                line.aim,
                "" if line.met is None else "[green]yes[/green]" if line.met else "[red]no[/red]",
            )
    return table


def print_table(results: Results, console: Console) -> None:
    """Show everything as one table, the facts of the machine above it and the notes below."""
    console.print()
    for line in results.machine.lines():
        console.print(f"[dim]{escape(line)}[/dim]")
    console.print(table_of(results))
    console.print("[dim]Numbers are the median over rounds, in brackets the lowest and the highest round.[/dim]")
    for section in results.sections:
        for note in section.notes:
            console.print(f"[dim]{section.number}: {escape(note)}[/dim]")
        if section.failure:
            console.print(f"[red]{section.number}: {escape(section.failure)}[/red]", highlight=False)


def write_json(results: Results, file: Path) -> None:
    """Write everything, indented."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
