"""New rows of the vocabulary that learn while the others stay: they are laid over the embeddings and the head."""

from collections.abc import Sequence
from typing import Any

import torch

from lingyu.model.vocabulary import SAFE


class Rows(torch.nn.Module):
    """The rows of these token ids, apart from the matrix that they belong to."""

    def __init__(self, ids: Sequence[int], weight: torch.Tensor) -> None:
        super().__init__()
        index = torch.tensor(list(ids), device=weight.device)
        self.register_buffer("ids", index, persistent=False)
        place = torch.full([len(weight)], -1, device=weight.device)
        place[index] = torch.arange(len(index), device=weight.device)
        self.register_buffer("place", place, persistent=False)
        self.values = torch.nn.Parameter(weight.detach()[index].float())

    def embedded(self, module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        """A hook on the embeddings, which some families scale: Gemma's by the root of their width."""
        place = self.place[inputs[0]]
        read = self.values.to(output.dtype)[place.clamp(min=0)]
        if (scale := getattr(module, "embed_scale", None)) is not None:
            read = read * torch.as_tensor(scale).to(output)
        return torch.where((place >= 0)[..., None], read, output)

    def scored(self, _: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        """A hook on the head."""
        mine = torch.nn.functional.linear(inputs[0], self.values.to(inputs[0].dtype))
        return output.index_copy(-1, self.ids, mine.to(output.dtype))


def added(tokenizer: Any) -> list[int]:
    """The ids of the words that `extend` added: words, where other added tokens are marks."""
    return sorted(number for number, token in tokenizer.added_tokens_decoder.items() if not token.special and SAFE.fullmatch(token.content))


def lay_over(model: Any, ids: Sequence[int]) -> None:
    """Let these rows learn."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    model.add_module("new_rows", Rows(ids, embeddings.weight))
    if not model.config.tie_word_embeddings:
        model.add_module("new_head_rows", Rows(ids, head.weight))
    embeddings.register_forward_hook(model.new_rows.embedded)
    head.register_forward_hook(getattr(model, "new_head_rows", model.new_rows).scored)


def write_in(model: Any) -> None:
    """Put what was learnt into the matrices, and take the hooks away."""
    for name, matrix in (("new_rows", model.get_input_embeddings()), ("new_head_rows", model.get_output_embeddings())):
        for number, hook in list(matrix._forward_hooks.items()):  # a copy of the model has hooks that no handle of ours removes
            if isinstance(getattr(hook, "__self__", None), Rows):
                del matrix._forward_hooks[number]
        if (rows := getattr(model, name, None)) is not None:
            with torch.no_grad():
                matrix.weight[rows.ids] = rows.values.to(matrix.weight.dtype)
            delattr(model, name)
