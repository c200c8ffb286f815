"""What reuse of prefixes saves: conversations with one system prompt that come back turn by turn, reuse on and off."""

from __future__ import annotations

import random
import statistics
from typing import Any

from scripts.benchmarks.inference_peers import Ours
from scripts.benchmarks.inference_workload import WINDOW, Request, make_model


def measure_reuse(name: str, device: str, quick: bool) -> dict[str, Any]:
    """Seconds and time to first token with and without, the hit rate, tokens reused, answers that differ."""
    model = make_model(name, device)
    conversations, turns, system, question, answer = (2, 2, 40, 10, 4) if quick else (4, 5, 200, 30, 24)
    runs: dict[str, list[tuple[float, float]]] = {"on": [], "off": []}
    texts: dict[str, list[list[int]]] = {}
    hits: dict[str, float] = {}
    for _ in range(1 if quick else 3):
        for label, budget in (("off", 0), ("on", conversations * WINDOW)):
            peer = Ours(model, conversations, reuse=budget)
            peer.run([Request([1, 2, 3], 2)], 1)
            stats = peer.engine.stats
            before = stats.prefix_lookups, stats.tokens_in
            seconds, first, texts[label] = _converse(peer, model, conversations, turns, system, question, answer)
            peer.close()
            runs[label].append((seconds, first))
            if budget:
                hits = {
                    "hit_rate": round(stats.prefix_hits / (stats.prefix_lookups - before[0]), 3),
                    "tokens_reused": round(stats.reused / (stats.tokens_in - before[1]), 3),
                }
    figures: dict[str, Any] = {"model": name, "conversations": conversations, "turns": turns, **hits}
    for label, found in runs.items():
        figures[f"seconds_{label}"] = round(statistics.median(run[0] for run in found), 3)
        figures[f"first_ms_{label}"] = round(statistics.median(run[1] for run in found) * 1000, 1)
    figures["time_saved"] = round(1 - figures["seconds_on"] / figures["seconds_off"], 3)
    figures["mismatches"] = sum(a != b for a, b in zip(texts["on"], texts["off"], strict=True))
    return figures


def _converse(
    peer: Ours, model: Any, conversations: int, turns: int, system: int, question: int, answer: int
) -> tuple[float, float, list[list[int]]]:
    """Seconds in all, the median time to a first token, and every answer."""
    dice = random.Random(3)

    def words(count: int) -> list[int]:
        return [dice.randrange(1, model.config.vocab_size) for _ in range(count)]

    shared = words(system)
    histories = [list(shared) for _ in range(conversations)]
    seconds, first, answers = 0.0, [], []
    for _ in range(turns):
        for history in histories:
            history += words(question)
        outcome = peer.run([Request(list(history), answer) for history in histories], conversations)
        seconds += outcome.seconds
        first += outcome.first
        answers += outcome.tokens
        for history, new in zip(histories, outcome.tokens, strict=True):
            history += new
    return seconds, statistics.median(first), answers
