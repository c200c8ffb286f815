"""From collected folders to a prepared one, in three stages that each run once: clean, split, pack."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial as partial_of
from pathlib import Path
from typing import Any

from training.errors import StepFailed
from training.folders import MANIFEST, read_manifest, sha256, unfinished, write_json, write_manifest
from training.prepare.cleaning import Filters, language_of, normalise_record, why_not
from training.prepare.duplicates import Duplicates, HeldOut, prompt_key
from training.prepare.examples import Example, ExampleMaker, load_tokenizer, window_of
from training.prepare.packing import pack, save
from training.prepare.report import write_report
from training.prepare.splitting import SPLITS, split
from training.records import Malformed, Record, read_records, to_line, weightless, write_records

Say = Callable[[str], None]
USUAL_CONTEXT = 2_048


@dataclass(frozen=True)
class Settings:
    """What is asked for. `near` is the similarity from which a record counts as a repeat (1: equal ones only);
    `overlap` words in a row make a record one of the held-out; `tokenizer` None leaves packing out."""

    filters: Filters = field(default_factory=Filters)
    near: float = 0.85
    held_out: Sequence[Path] = ()
    overlap: int = 13
    validation: float = 0.05
    test: float = 0.05
    seed: int = 1
    tokenizer: str | None = None
    chat_template: Path | None = None
    context: int | None = None


def prepare(collected: Sequence[Path], out: Path, settings: Settings, say: Say = lambda text: None) -> dict[str, Any]:
    """The manifest of the prepared folder `out`, which is made or made anew. Raises StepFailed.

    The same collected folders and settings give the same bytes, but for the folders' names and the git revision.
    """
    sources = [read_manifest(folder, "collected") for folder in collected]
    maker, about = _tokenizer(settings)
    with unfinished(out) as partial:
        stages = _Stages(partial, collected, settings, about)
        counts = stages.once("clean", lambda: _clean(collected, stages.work, settings, say))
        splits = stages.once("split", lambda: _split(stages.work, settings))
        if maker is not None:
            (partial / "packed").mkdir(exist_ok=True)
            for name in SPLITS:
                packer = _Packer(stages.work, partial / "packed", maker, about["context"], settings.seed, say)
                packed = stages.once(f"pack {name}", partial_of(packer.pack, name))
                splits[name] |= packed["split"]
                counts["removed"] = dict(Counter(counts["removed"]) + Counter(packed["removed"]))
            if not splits["train"]["rows"]:
                raise StepFailed("nothing is left to train on after packing; give a longer --context, or other data")
        _bring_out(stages.work, partial)
        counts["licences"] = dict(sum((Counter(source["counts"].get("licences", {})) for source in sources), Counter()))
        entries = {"counts": counts, "splits": splits, "settings": _plain(settings), "seed": settings.seed, **about}
        write_report(partial, sources, entries)
        write_manifest(partial, "prepared", list(collected), **entries)
        stages.forget()
    return entries


def _tokenizer(settings: Settings) -> tuple[ExampleMaker | None, dict[str, Any]]:
    """The maker of examples, and what the manifest says of it. Raises StepFailed when the context is too long."""
    if settings.tokenizer is None:
        return None, {}
    tokenizer = load_tokenizer(settings.tokenizer, settings.chat_template)
    maker = ExampleMaker(tokenizer, settings.tokenizer)
    window = window_of(settings.tokenizer, tokenizer)
    context = settings.context or min(window or USUAL_CONTEXT, USUAL_CONTEXT)
    if window and context > window:
        raise StepFailed(f"a context of {context} is longer than the model's {window}; give --context {window} or less")
    file = Path(settings.tokenizer) / "tokenizer.json"
    named = {"path": settings.tokenizer, "sha256": sha256(file) if file.is_file() else None}
    template = (
        tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else json.dumps(tokenizer.chat_template)
    )
    return maker, {
        "tokenizer": named | {"vocabulary": len(tokenizer)},
        "template_sha256": hashlib.sha256(template.encode()).hexdigest(),
        "context": context,
    }


class _Stages:
    """Which stages of a partial folder are done, with what they gave, as long as inputs and settings are the same.

    `work` holds what stages hand on; a stage only adds files to it, so that it can run again if it was killed.
    """

    def __init__(self, partial: Path, collected: Sequence[Path], settings: Settings, about: Mapping[str, Any]) -> None:
        inputs = [sha256(folder / name) for folder in collected for name in (MANIFEST, "records.jsonl")]
        inputs += [sha256(file) for file in settings.held_out if file.is_file()]
        key = json.dumps([inputs, _plain(settings), about], sort_keys=True)
        self.work = partial / "work"
        self._file = self.work / "stages.json"
        self._done: dict[str, Any] = json.loads(self._file.read_bytes()) if self._file.is_file() else {}
        if self._done.get("key") != key:
            for entry in partial.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            self._done = {"key": key}
        self.work.mkdir(exist_ok=True)

    def once(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `work` gives, which runs only if it has not run to its end before."""
        if name not in self._done:
            self._done[name] = work()
            write_json(self._file, self._done)
        result: dict[str, Any] = json.loads(json.dumps(self._done[name]))
        return result

    def forget(self) -> None:
        """Take the work out of a folder that is finished; the note goes first, as what it tells of is going."""
        self._file.unlink()
        shutil.rmtree(self.work)


def _clean(collected: Sequence[Path], work: Path, settings: Settings, say: Say) -> dict[str, Any]:
    """Write what stays, what was said to be bad, and what is removed; the counts."""
    removed: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    duplicates, held_out = Duplicates(settings.near), HeldOut(settings.held_out, settings.overlap)
    total = kept = 0
    with ExitStack() as stack:
        files = {n: stack.enter_context((work / f"{n}.jsonl").open("wb")) for n in ("kept", "disliked", "removed-1")}
        for total, record in enumerate(_all_records(collected), 1):
            record = normalise_record(record)
            record["language"] = record.get("language") or language_of(record)
            why = why_not(record, settings.filters)
            if why is None and (shared := held_out.overlap(record)) is not None:
                why = "held_out", shared
            if why is None and record.get("feedback") == "down":
                files["disliked"].write(to_line(record))
                why = "feedback_down", "kept for preference pairs"
            why = why or duplicates.found(record)
            if why is None:
                kept += 1
                languages[record["language"]] += 1
                files["kept"].write(to_line(record))
            else:
                removed[why[0]] += 1
                files["removed-1"].write(_removal(record, *why))
            say(f"{total:,} records read, {kept:,} kept")
    if not kept:
        raise StepFailed(f"not one of {total} records is left: {', '.join(f'{n} {why}' for why, n in removed.items())}")
    return {"collected": total, "kept": kept, "removed": dict(removed), "languages": dict(languages)}


def _all_records(collected: Sequence[Path]) -> Iterator[Record]:
    """Those that people liked come first: of repeats the first one stays, and a pair needs the one that was liked."""
    for is_liked in (True, False):
        for folder in collected:
            found = read_records(folder / "records.jsonl")
            yield from (record for record in found if (record.get("feedback") == "up") is is_liked)


def _removal(record: Record, reason: str, detail: str) -> bytes:
    return to_line({"id": record["id"], "reason": reason, "detail": detail[:300]})


def _split(work: Path, settings: Settings) -> dict[str, Any]:
    """Write the three splits and the preference pairs; how much is in each."""
    shares = {"validation": settings.validation, "test": settings.test}
    placed = split((r["conversation"] for r in read_records(work / "kept.jsonl")), shares, settings.seed)
    sizes: dict[str, Counter[str]] = {name: Counter() for name in SPLITS}
    liked: dict[str, Record] = {}
    with ExitStack() as stack:
        files = {name: stack.enter_context((work / f"{name}.jsonl").open("wb")) for name in SPLITS}
        for record in read_records(work / "kept.jsonl"):
            name = placed[record["conversation"]]
            files[name].write(to_line(record))
            sizes[name]["records"] += 1
            if name == "train" and record.get("feedback") == "up" and (key := prompt_key(record)):
                liked.setdefault(key, record)
    for name in placed.values():
        sizes[name]["conversations"] += 1
    pairs = write_records(work / "preferences.jsonl", _pairs(liked, work / "disliked.jsonl"))
    return {name: dict(size) for name, size in sizes.items()} | {"preferences": {"records": pairs}}


def _pairs(liked: Mapping[str, Record], disliked: Path) -> Iterator[dict[str, Any]]:
    """An answer that was liked, and one to the same prompt that was not."""
    for worse in read_records(disliked):
        better = liked.get(prompt_key(worse) or "")
        if better is None or better["messages"][-1] == worse["messages"][-1]:
            continue
        pair = {
            "id": worse["id"], "language": better["language"], "prompt": weightless(better["messages"][:-1]),
            "chosen": [better["messages"][-1]], "rejected": [worse["messages"][-1]],
        }  # fmt: skip
        yield pair | ({"tools": better["tools"]} if better.get("tools") else {})


@dataclass(frozen=True)
class _Packer:
    """Tokenises the splits in `work` and writes their arrays into `packed`."""

    work: Path
    packed: Path
    maker: ExampleMaker
    context: int
    seed: int
    say: Say

    def pack(self, name: str) -> dict[str, Any]:
        """Write a split's arrays, and its records that are in them; the sizes, and how many records could not be."""
        removed: Counter[str] = Counter()
        conversations: set[str] = set()
        examples: list[Example] = []
        records = 0
        with (
            (self.work / f"packed-{name}.jsonl").open("wb") as kept,
            (self.work / f"removed-2-{name}.jsonl").open("wb") as gone,
        ):
            for number, record in enumerate(read_records(self.work / f"{name}.jsonl"), 1):
                self.say(f"{name}: {number:,} records tokenised")
                try:
                    examples += self.maker.examples(record, self.context)
                except Malformed as error:
                    removed[error.reason] += 1
                    gone.write(_removal(record, error.reason, error.detail))
                    continue
                records += 1
                conversations.add(record["conversation"])
                kept.write(to_line(record))
        arrays = pack(examples, self.context, self.maker.padding, self.seed)
        save(arrays, self.packed / f"{name}.safetensors")
        tokens = sum(len(example.ids) for example in examples)
        sizes = {
            "records": records, "conversations": len(conversations), "documents": len(examples), "tokens": tokens,
            "learned_tokens": int(arrays["loss_mask"].sum()), "rows": len(arrays["input_ids"]),
            "filled": round(tokens / max(1, arrays["input_ids"].size), 4),
        }  # fmt: skip
        return {"removed": dict(removed), "split": sizes}


def _bring_out(work: Path, partial: Path) -> None:
    """The files of the finished folder, from what the stages left."""
    for name in (*SPLITS, "preferences"):
        packed = work / f"packed-{name}.jsonl"
        target = partial / f"{name}.jsonl"
        target.unlink(missing_ok=True)
        os.link(packed if packed.exists() else work / f"{name}.jsonl", target)
    with (partial / "removed.jsonl").open("wb") as joined:
        for part in sorted(work.glob("removed-*.jsonl")):
            joined.write(part.read_bytes())


def _plain(settings: Settings) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=str))
    return plain
