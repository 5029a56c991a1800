"""The facts of the machine and of the libraries that a figure depends on. No host name, no path, no user."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sqlite3
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import psutil

from bench.append import append_for

PACKAGES = ("uvicorn", "uvloop", "httptools", "msgspec", "psycopg", "fastapi", "sqlalchemy", "aiosqlite", "pydantic")


class Machine(msgspec.Struct, frozen=True):
    """Where and with what it was measured. `load_before` is the one-minute load average when it began: above about 0.5
    somebody else was working too. `flushes_per_second` is the bare append and fdatasync loop on the scratch disk."""

    at: str
    cores: int
    processor: str
    memory_gb: float
    system: str
    file_system: str
    flushes_per_second: float
    load_before: float
    python: str
    sqlite: str
    postgresql: str
    packages: dict[str, str]

    def lines(self) -> list[str]:
        """The facts as three lines of text."""
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        hardware = f"{self.cores} cores ({self.processor}), {self.memory_gb:.0f} GB, {self.system}, {self.file_system}"
        disk = f"{self.flushes_per_second:,.0f} append + fdatasync a second"
        return [
            f"{self.at}: {hardware} with {disk}; load before: {self.load_before:.2f}",
            f"Python {self.python}, SQLite {self.sqlite}, PostgreSQL {self.postgresql}",
            packages,
        ]


def processor() -> str:
    """The model name of the processor."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def file_system(directory: Path) -> str:
    """The kind of file system that a folder is on, such as `ext4`."""
    mounts = [part for part in psutil.disk_partitions(all=True) if directory.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown file system"


def installed(package: str) -> str:
    """The version of a package, or a word that it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def look(postgresql: str) -> Machine:
    """Collect the facts; takes about a second for the disk."""
    with tempfile.TemporaryDirectory(prefix="rota-bench-") as scratch:
        count, seconds = append_for(str(Path(scratch) / "append"), 1.0)
        kind = file_system(Path(scratch).resolve())
    return Machine(
        at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cores=os.cpu_count() or 1,
        processor=processor(),
        memory_gb=psutil.virtual_memory().total / 2**30,
        system=f"{platform.system()} {platform.release()}",
        file_system=kind,
        flushes_per_second=count / seconds,
        load_before=os.getloadavg()[0],
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        postgresql=postgresql,
        packages={package: installed(package) for package in PACKAGES},
    )
