"""What the engine counts while it runs. Written by the engine's thread, read by anyone; knows no metric format."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass
class Histogram:
    """Counts of observations up to each bound (in seconds); the last count is for what is above all bounds."""

    bounds: tuple[float, ...] = SECONDS
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Add one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass
class Stats:
    """Totals since start. `reused` counts prompt tokens whose keys and values were not computed again;
    `prefix_hits` of `prefix_lookups` is the hit rate."""

    tokens_in: int = 0
    tokens_out: int = 0
    reused: int = 0
    prefix_lookups: int = 0
    prefix_hits: int = 0
    prefills: int = 0
    steps: int = 0
    faults: int = 0
    finished: dict[str, int] = field(default_factory=dict)
    first_token: Histogram = field(default_factory=Histogram)
    per_token: Histogram = field(default_factory=Histogram)
