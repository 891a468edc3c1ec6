"""Names and addresses of people found by a token classification model of the user: a folder as saved by transformers.

Rules rarely find names in the middle of a sentence (names.py). The project includes no such model; any model with labels for
persons or addresses can be used.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from lingyu.clean.names import Span
from lingyu.errors import StageError

# Labels without B-, I-, E- and S- prefixes. Places (LOC, GPE) are not masked: a city is not an address.
KINDS = {"PER": "name", "PERSON": "name", "NAME": "name", "NR": "name", "ADDRESS": "address", "ADDR": "address"}
OVERLAP = 32  # tokens shared by two windows of a long text, so that a name at the edge of one is whole in the other
LONGEST = 512  # tokens of a window, if the tokenizer does not set a maximum


@cache
def tagger(folder: str) -> "Tagger":
    return Tagger(Path(folder))


class Tagger:
    """The model of a folder. Raises StageError if it cannot be used."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForTokenClassification, AutoTokenizer, logging

        check_folder(folder)
        logging.disable_progress_bar()
        torch.set_num_threads(1)  # there is one process per core, and results are the same on any machine
        self._torch: Any = torch
        self._model: Any = AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        labels = {int(number): str(label) for number, label in self._model.config.id2label.items()}
        self._kinds = {number: KINDS.get(label.split("-", 1)[-1].upper(), "") for number, label in labels.items()}
        self._begins = {number for number, label in labels.items() if label.upper().startswith(("B-", "S-"))}
        if not any(self._kinds.values()):
            raise StageError(
                f"params.yaml, clean.ner: {folder} has no label for persons or addresses: {', '.join(sorted(labels.values()))}. "
                f"Known, with or without B- and I-: {', '.join(KINDS)}."
            )
        self._window = min(LONGEST, self._tokenizer.model_max_length)

    def finds(self, text: str, kind: str) -> Iterator[Span]:
        """The spans of this kind, in order."""
        last: Span | None = None
        for start, end in sorted({(start, end) for start, end, found in self._all(text) if found == kind}):
            if last and start < last[1]:
                last = (last[0], max(last[1], end))  # found in two windows
                continue
            if last:
                yield last
            last = (start, end)
        if last:
            yield last

    def _all(self, text: str) -> Iterator[tuple[int, int, str]]:
        if not text.strip():
            return
        windows = self._tokenizer(
            text,
            truncation=True,
            max_length=self._window,
            stride=min(OVERLAP, self._window // 4),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for ids, places in zip(windows["input_ids"], windows["offset_mapping"], strict=True):
            with self._torch.inference_mode():
                labels = self._model(self._torch.tensor([ids])).logits[0].argmax(-1).tolist()
            start, end, kind = 0, 0, ""
            for label, (first, last) in zip(labels, places, strict=True):
                if first == last:  # a special token
                    continue
                if kind and (self._kinds[label] != kind or label in self._begins):
                    yield start, end, kind
                    kind = ""
                if self._kinds[label]:
                    start, end, kind = (start if kind else first), last, self._kinds[label]
            if kind:
                yield start, end, kind


def check_folder(folder: Path) -> None:
    """Raises StageError unless the folder has a model in safetensors format, which cannot contain code."""
    if missing := [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]:
        raise StageError(
            f"params.yaml, clean.ner: {folder} has no {', '.join(missing)}. Set it to the folder of a token classification model."
        )
    if not list(folder.glob("*.safetensors")):
        raise StageError(
            f"params.yaml, clean.ner: {folder} has no *.safetensors. Save the model with save_pretrained; pickled weights are not loaded."
        )
