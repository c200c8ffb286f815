"""Puts sources together into a collected folder; each source is read once, whatever dies in between."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.collect.entries import Entry, Source
from training.collect.personal_data import mask, mask_record
from training.errors import StepFailed
from training.folders import sha256, unfinished, write_manifest
from training.records import Malformed, Record, parse_line, record_id, to_line


@dataclass(frozen=True)
class Terms:
    """What is said of every record that says nothing else of itself. `consent` is a note, or None where none is
    needed; `masked` takes personal data out."""

    licence: str
    consent: str | None = None
    masked: bool = False


def collect(
    sources: Sequence[tuple[Source, Terms]],
    out: Path,
    not_collected: Mapping[str, int],
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The counts of the collected folder `out`, which is made or made anew. The same sources give the same bytes.

    `not_collected` are counts, by reason, of what the caller left out. Raises StepFailed when there is no good record.
    """
    with unfinished(out) as partial:
        parts = partial / "parts"
        parts.mkdir(exist_ok=True)
        for number, (source, terms) in enumerate(sources, 1):
            _read(source, terms, parts, lambda n, at=number: say(f"source {at} of {len(sources)}, {n:,} entries"))  # type: ignore[misc]
        counts, listed = _put_together(sources, parts, partial)
        if not counts["records"]:
            raise StepFailed(_nothing(partial, counts))
        shutil.rmtree(parts)
        counts["not_collected"] = dict(not_collected)
        digest = sha256(partial / "records.jsonl")
        write_manifest(partial, "collected", [], counts=counts, sources=listed, records_sha256=digest)
    return counts


def _read(source: Source, terms: Terms, parts: Path, say: Callable[[int], None]) -> None:
    """Read a source into its part, unless it is there already from a run that died later."""
    part = parts / _name(source, terms)
    if part.exists():
        return
    written = part.with_suffix(".new")
    masked: Counter[str] = Counter()
    with written.open("wb") as opened:
        for number, entry in enumerate(source.entries(parts), 1):
            opened.write(_line(entry, source, terms, masked))
            say(number)
        opened.write(to_line({"masked": masked}))
    os.replace(written, part)


def _name(source: Source, terms: Terms) -> str:
    key = json.dumps([source.uri, source.fingerprint, source.kind, str(getattr(source, "columns", "")), asdict(terms)])
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:32]


def _line(entry: Entry, source: Source, terms: Terms, masked: Counter[str]) -> bytes:
    """The entry as a line of the part: a record, or what is set aside."""
    place = {"uri": source.uri, "kind": entry.kind, "position": entry.position}
    try:
        if entry.fields is None:
            raise entry.error or Malformed("unknown", "")
        record = _record(entry, source.uri, place, terms)
        if terms.masked:
            record, found = mask_record(record)
            masked.update(found)
        return to_line({"record": {"id": record_id(source.uri, entry.position, record), **record}})
    except Malformed as error:
        raw = entry.raw if entry.fields is None else str(dict(entry.fields))[:2_000]
        raw = raw.encode(errors="replace").decode()
        if terms.masked:
            raw, _ = mask(raw)
        return to_line({"set_aside": {"source": place, "reason": error.reason, "detail": error.detail, "raw": raw}})


def _record(entry: Entry, uri: str, place: Mapping[str, Any], terms: Terms) -> Record:
    told = dict(entry.fields or {})
    # a document's pieces stay together, and so do the two halves of a preference
    whole = uri if entry.kind in ("text", "markdown", "html") else f"{uri}#{entry.position}"
    consent = told.get("consent") or ({"given": None, "by": None, "note": terms.consent} if terms.consent else None)
    named = f"{uri}#{told['conversation']}" if "conversation" in told else whole
    return {
        "source": place,
        "language": None,
        "feedback": None,
        **told,
        "licence": told.get("licence") or terms.licence,
        "consent": consent,
        "conversation": named,
    }


def _put_together(
    sources: Sequence[tuple[Source, Terms]], parts: Path, partial: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write both files of the folder from the parts; the counts, and a line for each source."""
    reasons: Counter[str] = Counter()
    masked: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    listed, total = [], 0
    with (partial / "records.jsonl").open("wb") as records, (partial / "set_aside.jsonl").open("wb") as aside:
        for source, terms in sources:
            good = bad = 0
            with (parts / _name(source, terms)).open("rb") as lines:
                for line in lines:
                    entry = parse_line(line)
                    if "record" in entry:
                        good += 1
                        licences[entry["record"]["licence"]] += 1
                        records.write(to_line(entry["record"]))
                    elif "set_aside" in entry:
                        bad += 1
                        reasons[entry["set_aside"]["reason"]] += 1
                        aside.write(to_line(entry["set_aside"]))
                    else:
                        masked.update(entry["masked"])
            total += good
            listed.append(
                {"uri": source.uri, "kind": source.kind, "licence": terms.licence, "records": good, "set_aside": bad}
            )
    counts = {"records": total, "set_aside": dict(reasons), "masked": dict(masked), "licences": dict(licences)}
    return counts, listed


def _nothing(partial: Path, counts: Mapping[str, Any]) -> str:
    if not counts["set_aside"]:
        return "there is not one record in the sources; name sources that hold some"
    with (partial / "set_aside.jsonl").open("rb") as lines:
        first = parse_line(next(iter(lines)))
    aside = sum(counts["set_aside"].values())
    why = f"{first['reason']}, {first['detail']} ({first['source']['uri']})"
    return f"not one of {aside} entries is a record; the first: {why}"
