"""The scores of a causal model from its hidden states, some tokens at a time: 262,144 of them for each token would fill a gigabyte per
thousand tokens."""

from collections.abc import Iterator
from typing import Any

AT_ONCE = 2**26  # scores; 256 MB in fp32, and as much again for what is computed from them


def hidden_states(causal: Any, **inputs: Any) -> Any:
    """What the head reads: (rows, tokens, size)."""
    return causal.base_model(**inputs, use_cache=False).last_hidden_state


def scores(causal: Any, hidden: Any) -> Iterator[tuple[slice, Any]]:
    """Places among the rows of hidden (tokens, size), and the scores there (tokens, vocabulary) as the model itself computes them.

    By its own forward, around the states given: some families cap or scale what the head says (Gemma 2, Cohere, Granite).
    """
    from transformers.modeling_outputs import BaseModelOutputWithPast

    body = causal.base_model
    size = max(1, AT_ONCE // causal.get_output_embeddings().weight.shape[0])
    for start in range(0, len(hidden), size):
        place = slice(start, start + size)
        given = BaseModelOutputWithPast(last_hidden_state=hidden[None, place])
        body.forward = lambda *_, given=given, **__: given  # an attribute of the object, before that of its class
        try:
            yield place, causal(input_ids=None, use_cache=False).logits[0]
        finally:
            del body.forward
