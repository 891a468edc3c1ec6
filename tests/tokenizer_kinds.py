"""Tokenizers of the kinds that real bases have, small: Qwen's bytes, SentencePiece's pieces and Unigram with bytes to fall back on."""

import json
from pathlib import Path

from lingyu.model.chat import CHATML

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WORDS = ["the and of turns", "system user assistant"]
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def qwen_like():
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    parts = [pre_tokenizers.Split(Regex(WORD), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    core.pre_tokenizer = pre_tokenizers.Sequence(parts)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        WORDS, trainers.BpeTrainer(vocab_size=300, special_tokens=MARKS, initial_alphabet=alphabet, show_progress=False)
    )
    return core


def llama_like(scheme="first"):
    """scheme: which pieces of a text a space is put before; "always" is what old tokenizers do."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    core.train_from_iterator(WORDS, trainers.BpeTrainer(vocab_size=320, special_tokens=["<unk>", *bytes_alone()], show_progress=False))
    core.add_special_tokens(MARKS)
    return core


def unigram_like():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    trainer = trainers.UnigramTrainer(vocab_size=320, special_tokens=["<unk>", *bytes_alone()], unk_token="<unk>", show_progress=False)
    core.train_from_iterator(WORDS, trainer)
    written = json.loads(core.to_str())
    written["model"]["byte_fallback"] = True
    core = Tokenizer.from_str(json.dumps(written))
    core.add_special_tokens(MARKS)
    return core


def bytes_alone() -> list[str]:
    return [f"<0x{number:02X}>" for number in range(256)]


KINDS = {"qwen": qwen_like, "llama": llama_like, "unigram": unigram_like, "old llama": lambda: llama_like("always")}


def give(model: Path, kind: str) -> Path:
    """Write the tokenizer of a kind into a model's folder, in place of its own."""
    import transformers

    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=KINDS[kind](), eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(model)
    return model
