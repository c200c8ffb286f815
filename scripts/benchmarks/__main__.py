"""`scripts/bench NAME`: one benchmark by its name."""

from __future__ import annotations

import sys

from scripts.benchmarks import inference, load, pipeline, start, structure, training, weights

BENCHMARKS = {
    "inference": inference.main,
    "load": load.main,
    "pipeline": pipeline.main,
    "start": start.main,
    "structure": structure.main,
    "training": training.main,
    "weights": weights.main,
}


def main() -> int:
    """Run the benchmark that the first argument names; comes back with the exit status."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(f"usage: scripts/bench {{{','.join(BENCHMARKS)}}} [--help]\n\n{__doc__}")
        return 0
    if name not in BENCHMARKS:
        print(f"bench: there is no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    try:
        return BENCHMARKS[name](sys.argv[2:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
