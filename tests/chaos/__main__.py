"""`scripts/chaos NAME`: one proof by its name. Each is a module here with `main(arguments) -> exit status`."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec

PROOFS = {
    "points": "every call of every stage fails, and every handler dies at it, before and after it acted",
    "histories": "random histories of deliveries, deaths and clocks over the real stages, from one seed each",
}

WRONG_USE, INTERRUPTED = 2, 130
"""Exit statuses beside a proof's own: 0, and 1 where a promise was broken."""


def main() -> int:
    """Run the proof that the first argument names; comes back with the exit status."""
    found = {name: says for name, says in PROOFS.items() if find_spec(f"{__package__}.{name}")}
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("-h", "--help"):
        print(f"usage: scripts/chaos {{{','.join(found)}}} [--help]\n")
        print("\n".join(f"  {name:<10} {says}" for name, says in found.items()))
        return 0
    if name not in found:
        print(f"chaos: name one of: {', '.join(found)} (scripts/chaos --help says what they do)", file=sys.stderr)
        return WRONG_USE
    # imported only now: each brings libraries that the other does not need
    proof = importlib.import_module(f"{__package__}.{name}")
    try:
        return int(proof.main(sys.argv[2:]))
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
