"""From logits to the next token of each row. Knows nothing of the model or of text.

Each row draws one uniform number from its own generator and inverts the cumulative distribution, so that rows can be
computed together while a seed gives the same text whatever else is in the batch.
"""

from __future__ import annotations

import torch

from engine.sequence import Sampled, Sampling, Sequence

CANDIDATES = 256
"""How many of the likeliest tokens are looked at first when top_p or top_k filter; the whole vocabulary only if that
is not enough for a row. Fixed, so that a row is computed in one way whatever its neighbours ask for."""


def sample(sequences: list[Sequence], logits: torch.Tensor) -> list[Sampled | None]:
    """The next token of each sequence from its row of `logits` ([rows, vocabulary], any float type).

    None stands for a row whose logits hold NaN or infinity, or whose constraint leaves nothing to choose.
    """
    logits = logits.float()
    raw = logits
    if any(_edits(s) for s in sequences):
        logits = logits.clone()
        for row, sequence in enumerate(sequences):
            _edit(sequence, logits[row])
    best, greedy = logits.max(dim=-1)
    sound = best.isfinite().tolist()
    tokens = greedy.tolist()
    for row, sequence in enumerate(sequences):
        if sound[row] and sequence.sampling.temperature > 0:
            tokens[row] = _draw(sequence, logits[row])
    return [_sampled(sequence, tokens[row], raw[row]) if sound[row] else None for row, sequence in enumerate(sequences)]


def _edits(sequence: Sequence) -> bool:
    wants = sequence.sampling
    return bool(wants.bias or wants.presence_penalty or wants.frequency_penalty or sequence.constraint is not None)


def _edit(sequence: Sequence, row: torch.Tensor) -> None:
    """Penalties as OpenAI defines them (over generated tokens), then the bias, then the constraint."""
    wants = sequence.sampling
    if sequence.counts and (wants.presence_penalty or wants.frequency_penalty):
        ids = torch.tensor(list(sequence.counts.keys()), device=row.device)
        counts = torch.tensor(list(sequence.counts.values()), device=row.device, dtype=row.dtype)
        row[ids] -= counts * wants.frequency_penalty + wants.presence_penalty
    if wants.bias:
        ids = torch.tensor(list(wants.bias.keys()), device=row.device)
        row[ids] += torch.tensor(list(wants.bias.values()), device=row.device, dtype=row.dtype)
    if sequence.constraint is not None:
        sequence.constraint.mask(row)


def _draw(sequence: Sequence, row: torch.Tensor) -> int:
    """One token drawn from a row ([vocabulary]) under the sequence's temperature and filters."""
    wants = sequence.sampling
    point = sequence.random.random()
    probabilities = torch.softmax(row / wants.temperature, dim=-1)
    if wants.top_k <= 0 and wants.top_p >= 1.0 and wants.min_p <= 0.0:
        return _invert(probabilities, point)
    ranked, ids = torch.topk(probabilities, min(CANDIDATES, probabilities.shape[-1]))
    kept = _kept(ranked, wants)
    if kept == len(ranked) < len(probabilities):
        ranked, ids = torch.sort(probabilities, descending=True, stable=True)
        kept = _kept(ranked, wants)
    return int(ids[_invert(ranked[:kept], point)])


def _kept(ranked: torch.Tensor, wants: Sampling) -> int:
    """How many of the ranked probabilities stay: the fewest that reach top_p, within top_k and min_p; at least one."""
    kept = len(ranked)
    if wants.top_k > 0:
        kept = min(kept, wants.top_k)
    if wants.top_p < 1.0:
        # Of what top_k leaves, as the common implementations do: filters apply one after the other.
        mass = ranked[:kept].cumsum(0)
        whole = mass[-1] if wants.top_k > 0 and kept == wants.top_k else mass.new_tensor(1.0)
        kept = min(kept, int((mass < wants.top_p * whole).sum()) + 1)
    if wants.min_p > 0.0:
        kept = min(kept, int((ranked >= wants.min_p * ranked[0]).sum()))
    return max(kept, 1)


def _invert(probabilities: torch.Tensor, point: float) -> int:
    """The index whose share of the cumulative distribution holds `point` (0 <= point < 1)."""
    cumulative = probabilities.double().cumsum(0)
    whole = float(cumulative[-1])
    index = int(torch.searchsorted(cumulative, point * whole, right=True))
    if index < len(probabilities):
        return index
    # The product was rounded up to the whole: the last token that has any probability, not just the last.
    return int(torch.searchsorted(cumulative, whole))


def _sampled(sequence: Sequence, token: int, raw: torch.Tensor) -> Sampled:
    count = sequence.sampling.top_logprobs
    if count is None:
        return Sampled(token)
    logprobs = torch.log_softmax(raw, dim=-1)
    values, ids = torch.topk(logprobs, min(count, len(logprobs)))
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return Sampled(token, float(logprobs[token]), top)
