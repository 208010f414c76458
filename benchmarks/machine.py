"""How quiet the machine was: what others took of its processors while a case ran. Linux only."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

# From this share on a round is marked: its numbers are others' as much as ours.
QUIET = 0.20
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Moment:
    """Processor seconds since the machine started: of everyone, and of this process and all below it."""

    wall: float
    busy: float
    ours: float


def now() -> Moment:
    """Return how much processor time has been used up to now."""
    return Moment(wall=time.monotonic(), busy=_busy(), ours=_ours())


def foreign_share(before: Moment, after: Moment) -> float:
    """Return the share of all processors that others used in between, 0 to 1."""
    others = (after.busy - before.busy) - (after.ours - before.ours)
    whole = (after.wall - before.wall) * (os.cpu_count() or 1)
    return min(max(others / whole, 0.0), 1.0)


def wait_for_quiet(patience: float) -> None:
    """Return when others leave the processors alone for a second, or after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = now()
        time.sleep(1)
        if foreign_share(before, now()) < QUIET:
            return


def description() -> dict[str, str | int]:
    """Return what the numbers were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processors": os.cpu_count() or 1,
        "processor": _processor(),
        "memory_gib": round(memory),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _busy() -> float:
    user, nice, system, _idle, _wait, interrupts, soft, steal = map(
        int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    )
    # What the host took from this machine is others' too.
    return (user + nice + system + interrupts + soft + steal) / _TICKS


def _ours() -> float:
    """Return the processor seconds of this process, of all below it, and of those that ended there."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name of a program may hold spaces and brackets; what follows the last one is numbers.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended: its parent counts it
        parents[int(folder.name)] = int(fields[1])
        seconds[int(folder.name)] = sum(map(int, fields[11:15])) / _TICKS
    return sum(used for pid, used in seconds.items() if _is_ours(pid, parents))


def _is_ours(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != os.getpid():
        pid = parents[pid]
    return pid == os.getpid()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
