"""Names and addresses of people as a model of the user's own tells them: a folder for token classification, as transformers writes it.

Rules hardly reach a name in the middle of a sentence (people.py). No such model comes with the project; any whose labels name
persons or addresses will do.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from lingyu.clean.names import Span
from lingyu.stage import StageError

# Labels without their B-, I-, E- and S-. A place (LOC, GPE) is not taken: a city is no address.
KINDS = {"PER": "name", "PERSON": "name", "NAME": "name", "NR": "name", "ADDRESS": "address", "ADDR": "address"}
OVERLAP = 32  # tokens that two windows of a long text share, so that a name at the edge of one stands whole in the other
LONGEST = 512  # tokens of a window, where the tokenizer does not say


@cache
def tagger(folder: str) -> "Tagger":
    return Tagger(Path(folder))


class Tagger:
    """The model of a folder. Raises StageError where it cannot be used."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForTokenClassification, AutoTokenizer, logging

        check_folder(folder)
        logging.disable_progress_bar()
        torch.set_num_threads(1)  # there is a process a core, and sums come out the same on any machine
        self._torch: Any = torch
        self._model: Any = AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        labels = {int(number): str(label) for number, label in self._model.config.id2label.items()}
        self._kinds = {number: KINDS.get(label.split("-", 1)[-1].upper(), "") for number, label in labels.items()}
        self._begins = {number for number, label in labels.items() if label.upper().startswith(("B-", "S-"))}
        if not any(self._kinds.values()):
            raise StageError(
                f"params.yaml, clean.ner: no label of {folder} says a person or an address: {', '.join(sorted(labels.values()))}. "
                f"Known, with or without B- and I-: {', '.join(KINDS)}."
            )
        self._window = min(LONGEST, self._tokenizer.model_max_length)

    def finds(self, text: str, kind: str) -> Iterator[Span]:
        """Where the text has this kind, in its order."""
        last: Span | None = None
        for start, end in sorted({(start, end) for start, end, found in self._all(text) if found == kind}):
            if last and start < last[1]:
                last = (last[0], max(last[1], end))  # seen by two windows
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
                if first == last:  # a mark of the tokenizer's own
                    continue
                if kind and (self._kinds[label] != kind or label in self._begins):
                    yield start, end, kind
                    kind = ""
                if self._kinds[label]:
                    start, end, kind = (start if kind else first), last, self._kinds[label]
            if kind:
                yield start, end, kind


def check_folder(folder: Path) -> None:
    """Refuse what is no folder with a model in the one form that holds nothing to run."""
    if missing := [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]:
        raise StageError(f"params.yaml, clean.ner: {folder} has no {', '.join(missing)}. Name the folder of a token classification model.")
    if not list(folder.glob("*.safetensors")):
        raise StageError(
            f"params.yaml, clean.ner: {folder} has no *.safetensors. Save the model with save_pretrained; pickles are not loaded."
        )
