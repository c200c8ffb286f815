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
    best, tokens = logits.max(dim=-1)
    drawing = [row for row, sequence in enumerate(sequences) if sequence.sampling.temperature > 0]
    if drawing:
        index = torch.tensor(drawing, device=logits.device)
        rows = logits if len(drawing) == len(sequences) else logits[index]
        tokens[index] = _draw([sequences[row] for row in drawing], rows)
    # One copy to the host for all rows: on a GPU every one makes it wait for the device.
    sound, chosen = torch.stack([best.isfinite().long(), tokens]).tolist()
    return [_sampled(sequence, chosen[row], raw[row]) if sound[row] else None for row, sequence in enumerate(sequences)]


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


def _draw(sequences: list[Sequence], rows: torch.Tensor) -> torch.Tensor:
    """One token drawn from each row ([rows, vocabulary]) under its sequence's temperature and filters; [rows]."""
    wants = [sequence.sampling for sequence in sequences]
    # One copy to the device for all that the rows ask for, [rows, 5].
    asked = torch.tensor(
        [[w.temperature, w.top_p, w.top_k, w.min_p, s.random.random()] for w, s in zip(wants, sequences, strict=True)],
        dtype=torch.float64,
    ).to(rows.device)
    points = asked[:, 4:]
    probabilities = torch.softmax(rows / asked[:, :1].float(), dim=-1)
    filtered = [row for row, want in enumerate(wants) if _filters(want)]
    if not filtered:
        return _invert(probabilities, None, points)
    if len(filtered) == len(wants):
        return _draw_filtered(wants, asked, probabilities)
    tokens = torch.empty(len(wants), dtype=torch.long, device=rows.device)
    free = [row for row, want in enumerate(wants) if not _filters(want)]
    index = torch.tensor(free, device=rows.device)
    tokens[index] = _invert(probabilities[index], None, points[index])
    index = torch.tensor(filtered, device=rows.device)
    tokens[index] = _draw_filtered([wants[row] for row in filtered], asked[index], probabilities[index])
    return tokens


def _draw_filtered(wants: list[Sampling], asked: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """As `_draw`, for rows that all filter: among the likeliest first, over the whole vocabulary where they are few."""
    width = min(CANDIDATES, probabilities.shape[-1])
    ranked, ids = torch.topk(probabilities, width)
    kept = _kept(ranked, asked)
    tokens = ids.gather(1, _invert(ranked, kept, asked[:, 4:])[:, None])[:, 0]
    if width == probabilities.shape[-1] or all(0 < want.top_k < width for want in wants):
        return tokens
    wide = (kept[:, 0] == width).nonzero()[:, 0]
    if len(wide):
        ranked, ids = torch.sort(probabilities[wide], descending=True, stable=True)
        places = _invert(ranked, _kept(ranked, asked[wide]), asked[wide, 4:])
        tokens[wide] = ids.gather(1, places[:, None])[:, 0]
    return tokens


def _filters(wants: Sampling) -> bool:
    return wants.top_k > 0 or wants.top_p < 1.0 or wants.min_p > 0.0


def _kept(ranked: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """How many of each row's ranked probabilities stay, [rows, 1]; at least one.

    The fewest that reach top_p, within top_k and min_p. top_p is of what top_k leaves, as the common implementations
    do: filters apply one after the other.
    """
    width = ranked.shape[-1]
    top_p, top_k, min_p = asked[:, 1:2].float(), asked[:, 2:3].long(), asked[:, 3:4].float()
    cuts = (top_k > 0) & (top_k <= width)
    most = torch.where(cuts, top_k, width)
    mass = ranked.cumsum(-1)
    whole = torch.where(cuts, mass.gather(1, most - 1), 1.0)
    enough = (mass < top_p * whole).sum(-1, keepdim=True) + 1
    likely = (ranked >= min_p * ranked[:, :1]).sum(-1, keepdim=True)
    return torch.minimum(torch.minimum(most, torch.where(top_p >= 1.0, width, enough)), likely).clamp(min=1)


def _invert(probabilities: torch.Tensor, kept: torch.Tensor | None, points: torch.Tensor) -> torch.Tensor:
    """The index in each row whose share of the cumulative distribution holds its point (0 <= point < 1), [rows].

    Only the first `kept` ([rows, 1]) of a row count, if given.
    """
    cumulative = probabilities.double().cumsum(-1)
    whole = cumulative[:, -1:].contiguous() if kept is None else cumulative.gather(1, kept - 1)
    index = torch.searchsorted(cumulative, points * whole, right=True)
    # Where the product was rounded up to the whole: the last token that has any probability, not just the last.
    last = torch.searchsorted(cumulative, whole)
    return torch.minimum(index, last)[:, 0].clamp(max=cumulative.shape[-1] - 1)  # a row of NaN finds no place


def _sampled(sequence: Sequence, token: int, raw: torch.Tensor) -> Sampled:
    count = sequence.sampling.top_logprobs
    if count is None:
        return Sampled(token)
    logprobs = torch.log_softmax(raw, dim=-1)
    values, ids = torch.topk(logprobs, min(count, len(logprobs)))
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return Sampled(token, float(logprobs[token]), top)
