"""Grammars that a model must keep to while it decodes: JSON, a JSON Schema, or a call of one of the tools.

Built on llguidance (why it: see README). Knows the tokenizer, not the engine's inside.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from errors import InvalidRequest
from tool_calls import BARE, HERMES, MISTRAL, Dialect

SPACING: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""Python's way of spacing JSON, which models saw most in training, and no other: with free whitespace a small model
may write blanks until its tokens are used up."""


CLOSE_WITHIN = 128
"""An end that needs more tokens than this is not looked for."""

SLACK = 8
"""Tokens kept free beyond what the end needs: the next token may open something that must be closed too."""


@dataclass(frozen=True)
class Closers:
    """The tokens of single characters that lead to the end of JSON, and the one that ends an answer."""

    quote: int
    brace: int
    bracket: int
    zero: int
    letter: int
    stop: int

    def tokens(self, allowed: Callable[[int], bool]) -> tuple[int, ...]:
        """Which to take, best first: inside a string, the only place for this letter, a brace would be mere text."""
        if allowed(self.letter):
            return self.quote, self.letter
        return self.brace, self.bracket, self.quote, self.zero


class GrammarConstraint:
    """One sequence's place in a grammar; the engine's thread masks and advances it.

    When the tokens run out, it leads to the nearest end: strings and lists are closed, what is required gets the least
    that the grammar allows. `closers` are the tokens that help (see `Closers`), `limit` the most tokens there will be.
    With `free`, text may go on wherever the grammar is complete: there nothing is led to an end.
    """

    def __init__(self, matcher: Any, closers: Closers | None = None, limit: int = 1 << 31, free: bool = False) -> None:
        self._matcher = matcher
        self._closers = closers
        self._left = limit
        self._free = free

    def copy(self, limit: int) -> GrammarConstraint:
        """The same grammar from the same place, for another sequence of at most `limit` tokens."""
        return GrammarConstraint(self._matcher.deep_copy(), self._closers, limit, self._free)

    def mask(self, logits: Any) -> None:
        """Set the logits ([vocabulary], in place) of tokens that the grammar forbids here to minus infinity."""
        import numpy
        import torch

        if (token := self._forced()) is not None:
            kept = logits[token].item()
            logits[:] = float("-inf")
            # Whatever the model, or a bias, thinks of it: NaN stays NaN, so that it is still found.
            logits[token] = 0.0 if kept == float("-inf") else kept
            return
        bits = numpy.frombuffer(self._matcher.compute_bitmask(), dtype=numpy.uint8)
        allowed = torch.from_numpy(numpy.unpackbits(bits, bitorder="little")[: len(logits)]).to(logits.device)
        logits[: len(allowed)].masked_fill_(allowed == 0, float("-inf"))
        logits[len(allowed) :] = float("-inf")

    def accept(self, token: int) -> bool:
        """Advance by a token; True when nothing may follow. RuntimeError if the grammar cannot go on."""
        if not self._matcher.consume_token(token):
            # Without the library's message, which quotes the text: it would reach the log.
            raise RuntimeError("The grammar allows no token here.")
        self._left -= 1
        return bool(self._matcher.is_stopped())

    def _forced(self) -> int | None:
        """The one token to take so that the end is reached in time; None while there is time, or no near end."""
        if self._closers is None or self._left > 2 * CLOSE_WITHIN + SLACK:
            return None
        if self._free and self._matcher.is_accepting():
            return None
        end = self._end()
        if not self._matcher.is_accepting():
            return end[0] if end and len(end) + SLACK >= self._left else None
        # Complete, and more may follow (another call): only if there is time for twice the least of it.
        return None if end and 2 * len(end) + SLACK < self._left else self._closers.stop

    def _end(self) -> list[int]:
        """Tokens, at least one, that lead to the next end from here; [] if there is no near one."""
        ahead = self._matcher.deep_copy()
        path: list[int] = []
        while not path or not ahead.is_accepting():
            token = self._closer(ahead)
            if len(path) == CLOSE_WITHIN or token is None or not ahead.consume_token(token):
                return []
            path.append(token)
        return path

    def _closer(self, matcher: Any) -> int | None:
        """The token that brings the end nearest: one that closes, else what is forced, else any."""
        mask = matcher.compute_bitmask()

        def allowed(token: int) -> bool:
            return bool(mask[token >> 3] >> (token & 7) & 1)

        assert self._closers is not None  # for the type checker: without them no end is looked for
        found = next(filter(allowed, self._closers.tokens(allowed)), None)
        if found is not None:
            return found
        forced: list[int] = matcher.compute_ff_tokens()
        if forced:
            return forced[0]
        stop = self._closers.stop
        some = (8 * at + bit for at, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1)
        return next((token for token in some if token != stop), None)


class Grammars:
    """Compiles grammars for one model's tokenizer, which is read on first use (up to a second)."""

    def __init__(self, tokenizer: Any, vocabulary: int, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._stop_ids = sorted(stop_ids)
        self._lock = threading.Lock()
        self._wrapped: Any = None

    def for_format(self, response_format: dict[str, Any]) -> GrammarConstraint | None:
        """What `response_format` demands; None for plain text. Raises InvalidRequest for a schema it cannot keep to."""
        kind = response_format["type"]
        if kind == "text":
            return None
        schema = {"type": "object"} if kind == "json_object" else response_format["json_schema"]["schema"]
        return self._compile(_json_grammar(schema), "response_format")

    def for_call(self, tools: list[dict[str, Any]], dialect: Dialect, several: bool) -> GrammarConstraint:
        """Exactly one call of one of the tools, or one or more."""
        more = r' ("\n" call)*' if several and dialect is HERMES else ""
        rules = self._call_rule(tools, dialect, several, self._literal(dialect.begin))
        return self._compile(f"start: call{more}\n{rules}", "tools")

    def for_strict(self, tools: list[dict[str, Any]], dialect: Dialect, several: bool) -> GrammarConstraint:
        """Whatever the model says; but what begins as a call is one, to its end, of a function that was offered.

        The arguments of a function with `strict` keep to its schema; those of others are any object.
        """
        loose = [t if t["function"].get("strict") else {"function": {"name": t["function"]["name"]}} for t in tools]
        begin = self._literal(dialect.begin)
        if dialect is BARE:  # only the whole answer can be a call
            rules = [r"SAID: /\s*[^\s{]/", "text: ANY? (apart+ ANY?)*", "ANY: /(?s:.+)/"]
            rules.append("start: call | apart* (SAID text)?")
        else:
            mark = re.escape(dialect.begin).replace("/", r"\/")
            rules = [f"SAID: /(?s:.+)/ & ~/(?s:.*){mark}(?s:.*)/", "text: SAID? (apart+ SAID?)*"]
            if not begin.startswith("<"):  # spelled in ordinary tokens: what is said ends where it stands
                begin = "until"
                rules.append(f"until[lazy]: /(?s:.*){mark}/")
            rules.append("start: text (call text)*" if several and dialect is HERMES else "start: text call?")
        rules.append(self._call_rule(loose, dialect, several, begin))
        added = self._tokenizer.get_added_vocab()
        ids = set(added.values()) - {added.get(dialect.begin), *self._stop_ids}
        # Tokens that are no text, such as the marks around a model's thoughts; two of what is said never meet.
        rules.append("apart: " + (" | ".join(f"<[{token}]>" for token in sorted(ids)) or '"\\u0000"'))
        return self._compile("\n".join(rules), "tools", free=True)

    def _call_rule(self, tools: list[dict[str, Any]], dialect: Dialect, several: bool, begin: str) -> str:
        """The rules `call`, one call with its marks (Mistral: all of them in a list), and `body`."""
        options = {"anyOf": [_call_schema(tool["function"], dialect) for tool in tools]}
        if dialect is MISTRAL:
            most = {} if several else {"maxItems": 1}
            listed = {"x-guidance": SPACING, "type": "array", "items": options, "minItems": 1, **most}
            return f"call: {begin} body\nbody: %json {json.dumps(listed)}"
        body = "body: %json " + json.dumps({"x-guidance": SPACING, **options})
        if dialect is BARE:
            return f"call: body\n{body}"
        return f'call: {begin} "\\n" body "\\n" {self._literal(dialect.end)}\n{body}'

    def _literal(self, text: str) -> str:
        """A mark in a grammar: the token that stands for it where the tokenizer has one, else its characters."""
        token = self._tokenizer.get_added_vocab().get(text)
        return f"<[{token}]>" if token is not None else json.dumps(text)

    def _compile(self, grammar: str, param: str, free: bool = False) -> GrammarConstraint:
        from llguidance import LLMatcher

        matcher = LLMatcher(self._wrap(), grammar, log_level=0)
        if matcher.is_error():
            detail = matcher.get_error().splitlines()[0][:300]
            raise InvalidRequest(f"'{param}' cannot be enforced: {detail}", param=param, code="invalid_schema")
        return GrammarConstraint(matcher, self._closers(), free=free)

    def _closers(self) -> Closers | None:
        known = self._tokenizer.get_vocab()
        found = [known.get(text) for text in ('"', "}", "]", "0", "q")] + self._stop_ids[:1]
        return Closers(*found) if len(found) == 6 and None not in found else None  # no byte-level tokenizer lacks one

    def _wrap(self) -> Any:
        with self._lock:
            if self._wrapped is None:
                from llguidance.hf import from_tokenizer

                try:
                    self._wrapped = from_tokenizer(
                        self._tokenizer, n_vocab=self._vocabulary, eos_token=self._stop_ids or None
                    )
                except ValueError as error:
                    raise InvalidRequest(
                        f"This model's tokenizer cannot be constrained: {error}", code="unsupported_tokenizer"
                    ) from error
            return self._wrapped


def _json_grammar(schema: Any) -> str:
    from llguidance import LLMatcher

    whole = schema if isinstance(schema, dict) else {}
    return str(LLMatcher.grammar_from_json_schema(whole, overrides=SPACING))


def _call_schema(function: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "name": {"const": function["name"]},
            dialect.arguments: {"type": "object", **function.get("parameters", {})},
        },
        "required": ["name", dialect.arguments],
        "additionalProperties": False,
    }
