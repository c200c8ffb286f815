"""The report of a prepared folder: what went in, what left and why, what there is to learn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

from training.charts import bars, histogram, page, table
from training.folders import write_file
from training.prepare.splitting import SPLITS
from training.records import parse_line, read_records, texts

REASONS = {
    "duplicate": "said before, to the letter",
    "near_duplicate": "said before, nearly",
    "held_out": "overlaps with the held-out sets",
    "feedback_down": "people did not like it (kept for preference pairs)",
    "language": "in another language than asked for",
    "too_short": "too short", "too_long": "too long", "empty_answer": "an answer without words",
    "garbled": "characters lost in a conversion", "no_prose": "hardly any letters", "repetitive": "repeats itself",
    "longer_than_context": "more tokens than the context", "template": "refused by the chat template",
    "nothing_to_learn": "every answer has the weight 0",
}  # fmt: skip
SHOWN = 3
SAMPLED = 100_000
"""Records whose length is in the histogram."""


def write_report(folder: Path, sources: Sequence[Mapping[str, Any]], entries: Mapping[str, Any]) -> None:
    """Write `report.html`. `sources` are the manifests of the collected folders, `entries` the prepared one's."""
    counts, splits = entries["counts"], entries["splits"]
    write_file(folder / "report.html", page("Prepared training data", [
        ("What went in", _sources(sources)),
        ("What was set aside when it was collected", _set_aside(sources)),
        ("What left, and why", _removed(folder, counts)),
        ("What stayed", _splits(splits)),
        ("Languages", bars(dict(sorted(counts["languages"].items(), key=lambda e: -e[1])), "records")),
        ("Lengths", histogram(_lengths(folder), "characters a record")),
        ("How it was made", _settings(entries)),
    ]).encode())  # fmt: skip


def _sources(manifests: Sequence[Mapping[str, Any]]) -> str:
    by_kind: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for source in (source for manifest in manifests for source in manifest["sources"]):
        row = by_kind[source["kind"], source["licence"]]
        for i, n in enumerate((1, source["records"], source["set_aside"])):
            row[i] += n
    rows = [[kind, licence, *numbers] for (kind, licence), numbers in sorted(by_kind.items())]
    masked = _summed(manifests, "masked")
    said = f"<p>Masked: {escape(', '.join(f'{n:,} {kind}' for kind, n in masked.items()))}</p>" if masked else ""
    return table(["read as", "licence", "sources", "records", "set aside"], rows) + said


def _set_aside(manifests: Sequence[Mapping[str, Any]]) -> str:
    left = {f"{reason} (not collected)": n for reason, n in _summed(manifests, "not_collected").items()}
    return bars(_summed(manifests, "set_aside") | left, "entries")


def _summed(manifests: Sequence[Mapping[str, Any]], name: str) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for manifest in manifests:
        for reason, n in manifest["counts"].get(name, {}).items():
            sums[reason] += n
    return dict(sorted(sums.items(), key=lambda entry: -entry[1]))


def _removed(folder: Path, counts: Mapping[str, Any]) -> str:
    left = counts["collected"] - sum(counts["removed"].values())
    flow = {"collected": counts["collected"]}
    flow |= {f"− {reason}": n for reason, n in sorted(counts["removed"].items(), key=lambda entry: -entry[1])}
    rows = [[reason, REASONS.get(reason, reason), counts["removed"][reason], "; ".join(examples)]
            for reason, examples in _examples(folder).items()]  # fmt: skip
    shown = table(["reason", "meaning", "records", "for instance"], rows) if rows else ""
    return bars(flow | {"= left": left}, "records") + shown


def _examples(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    with (folder / "removed.jsonl").open("rb") as lines:
        for entry in map(parse_line, lines):
            if len(found[entry["reason"]]) < SHOWN:
                found[entry["reason"]].append(f"{entry['id'][:8]}: {entry['detail'][:60]}")
    return found


def _splits(splits: Mapping[str, Mapping[str, Any]]) -> str:
    names = ["records", "conversations", "documents", "tokens", "learned_tokens", "rows", "filled"]
    present = [name for name in names if any(name in splits[s] for s in SPLITS)]
    rows = [[split, *(splits[split].get(name, 0) for name in present)] for split in SPLITS]
    pairs = f"<p>Preference pairs: {splits['preferences']['records']:,}</p>"
    return table(["split", *(name.replace("_", " ") for name in present)], rows) + pairs


def _lengths(folder: Path) -> list[float]:
    records = read_records(folder / "train.jsonl")
    return [float(sum(map(len, texts(record)))) for record in islice(records, SAMPLED)]


def _settings(entries: Mapping[str, Any]) -> str:
    flat = {name: value for name, value in entries["settings"].items() if name != "filters"}
    flat |= entries["settings"]["filters"]
    flat |= {name: entries[name] for name in ("context", "template_sha256") if name in entries}
    return table(["setting", "value"], [[name, str(value)] for name, value in flat.items()])
