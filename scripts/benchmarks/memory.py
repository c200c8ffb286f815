"""A process's memory over time, and whether it grows: the mean growth between blocks with its confidence interval.

Neighbouring samples hang together, so a straight line's own interval would be far too narrow. The steps between the
means of blocks hang together little; where memory only swings, less than that, which makes the interval wider.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 1.0
BLOCK_SECONDS = 10.0
LEAST_BLOCKS = 12
T_95 = 2.2
"""Student's t for 11 degrees of freedom, two-sided 95%; for more it is smaller."""


@dataclass(frozen=True)
class Growth:
    """MiB a minute: the mean and the ends of its 95% confidence interval; how many blocks it rests on."""

    mean: float
    low: float
    high: float
    blocks: int

    @property
    def leaks(self) -> bool:
        """Whether memory grows beyond doubt."""
        return self.low > 0


def growth(samples: Sequence[tuple[float, float]]) -> Growth | None:
    """The growth in samples of (seconds, MiB), the first after everything has warmed up; None for too few."""
    blocks: dict[int, list[float]] = {}
    for at, mib in samples:
        blocks.setdefault(int(at // BLOCK_SECONDS), []).append(mib)
    means = [statistics.fmean(values) for _, values in sorted(blocks.items())]
    steps = [(later - earlier) * 60 / BLOCK_SECONDS for earlier, later in itertools.pairwise(means)]
    if len(means) < LEAST_BLOCKS:
        return None
    mean = statistics.fmean(steps)
    margin = T_95 * statistics.stdev(steps) / math.sqrt(len(steps))
    return Growth(mean, mean - margin, mean + margin, len(means))


def resident_mib(pid: int) -> float:
    """A process's resident memory. Raises OSError or CalledProcessError when it is gone."""
    status = Path(f"/proc/{pid}/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(shown.stdout) / 1024


class MemoryWatch:
    """Samples a process's memory until `stop()`; `samples` are (seconds since the begin, MiB)."""

    def __init__(self, pid: int) -> None:
        self.samples: list[tuple[float, float]] = []
        self._pid = pid
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        elapsed = 0.0
        while not self._stopping.wait(SAMPLE_SECONDS):
            elapsed += SAMPLE_SECONDS
            try:
                self.samples.append((elapsed, resident_mib(self._pid)))
            except (OSError, subprocess.CalledProcessError):
                return
