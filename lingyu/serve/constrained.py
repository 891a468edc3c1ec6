"""Replies in a promised form: before each token, those that would break the form are left out (llguidance).

A form is compiled once for the tokenizer of the model, and each reply follows its own copy. Where the reply opens with reasoning, the form
begins behind the mark that ends it.
"""

import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, cast

from lingyu.model.chat import THINK_END

if TYPE_CHECKING:
    from torch import Tensor

# As json.dumps writes it. Free white space would let a small model write blanks up to its limit.
WRITTEN: dict[str, Any] = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
ANY_OBJECT = {"type": "object"}
KEPT = 64  # forms, the last that were asked for
LONGEST = 1 << 16  # characters of a schema: it is compiled for seconds beyond
TAIL = 16  # tokens that a mark of reasoning has at most


class NoForm(ValueError):
    """Why a form cannot be kept: no valid schema, or one with what llguidance does not know."""


class Forms:
    """The forms that one tokenizer can keep. Both arguments are of the model; ends: the tokens that end a reply."""

    def __init__(self, tokenizer: Any, ends: frozenset[int]) -> None:
        self._tokenizer, self._ends = tokenizer, sorted(ends)
        self._compiled = lru_cache(KEPT)(self._compile)

    def of_schema(self, schema: dict[str, Any], reasons: bool) -> "Form":
        """JSON of this schema. Raises NoForm."""
        return self.of_grammar(json_grammar(schema), reasons)

    def of_grammar(self, grammar: str, reasons: bool) -> "Form":
        """Raises NoForm. reasons: whether the reply opens with reasoning."""
        return Form(self._compiled(grammar), self._tokenizer, self._ends, reasons)

    @cached_property
    def _vocabulary(self) -> Any:
        from llguidance import LLTokenizer

        if not self._ends:
            raise NoForm("the model has no token that ends a reply")
        try:
            return LLTokenizer(self._tokenizer.to_str(), n_vocab=self._tokenizer.get_vocab_size(), eos_token=self._ends)
        except ValueError as error:
            raise NoForm(f"llguidance does not know this tokenizer ({error})") from error

    def _compile(self, grammar: str) -> Any:
        from llguidance import LLMatcher

        matcher = LLMatcher(self._vocabulary, grammar, log_level=0)
        matcher.compute_bitmask()  # the first takes longest, and shows a form that nothing can have
        if matcher.is_error() or (matcher.is_stopped() and not matcher.is_accepting()):
            raise NoForm(matcher.get_error().partition("\n")[0][:300] or "nothing has this form")
        return matcher


class Form:
    def __init__(self, matcher: Any, tokenizer: Any, ends: list[int], reasons: bool) -> None:
        self._matcher, self._tokenizer, self._ends, self._reasons = matcher, tokenizer, ends, reasons

    def begun(self) -> "Following":
        return Following(self._matcher.deep_copy(), self._tokenizer, self._ends, self._reasons)


class Following:
    """One reply on its way through a form."""

    def __init__(self, matcher: Any, tokenizer: Any, ends: list[int], reasons: bool) -> None:
        self._matcher, self._tokenizer, self._ends, self._reasons = matcher, tokenizer, ends, reasons

    def leave_out(self, scores: "Tensor") -> None:
        """Sets the scores of tokens that the form does not allow to minus infinity, in place."""
        import numpy as np
        import torch

        if self._reasons:
            scores[self._ends] = -torch.inf
            return
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = torch.from_numpy(np.unpackbits(bits, bitorder="little").astype(bool))[: len(scores)]
        if self._matcher.is_error():
            raise RuntimeError(f"the form of a reply: {self._matcher.get_error()[:300]}")
        scores[: len(allowed)].masked_fill_(~allowed, -torch.inf)
        scores[len(allowed) :] = -torch.inf  # rows beyond the vocabulary

    def take(self, token: int, replied: Sequence[int]) -> None:
        """The token that was chosen behind these."""
        if self._reasons:
            self._reasons = THINK_END not in self._tokenizer.decode([*replied[-TAIL:], token], skip_special_tokens=False)
        elif not self._matcher.consume_token(token):
            raise RuntimeError(f"the form of a reply: {self._matcher.get_error()[:300]}")


def json_grammar(schema: dict[str, Any]) -> str:
    """Raises NoForm where the schema asks for what llguidance does not know."""
    from llguidance import LLMatcher

    written = json.dumps(schema)
    if len(written) > LONGEST:
        raise NoForm(f"it has {len(written)} characters, more than {LONGEST}")
    try:
        grammar = LLMatcher.grammar_from_json_schema(written, overrides=cast("Any", WRITTEN))
    except ValueError as error:
        raise NoForm(str(error)[:300]) from error
    failed, said = LLMatcher.validate_grammar_with_warnings(grammar)
    if failed:
        raise NoForm(said[0].partition("\n")[0][:300])
    return str(grammar)
