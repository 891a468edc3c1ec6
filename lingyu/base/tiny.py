"""The tiny base: a byte-level BPE tokenizer and a Qwen3 of a few million parameters, built here, offline."""

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from lingyu.model.chat import CHATML, THINK, THINK_END, Chat
from lingyu.stage import StageParams

END_OF_TEXT, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

# Each Han character by itself, digits one by one, letters with the space or mark before them, as in Qwen's tokenizer. Chinese
# has no spaces: if BPE could merge across characters, it would create tokens of partial characters and of whole phrases, and
# the model could neither copy a name nor recognise it in a sentence. Words are added by `extend`, which knows their boundaries.
WORDS = r"\p{Han}|[^\r\n\p{L}\p{N}]?[^\P{L}\p{Han}]+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


class Shape(StageParams):
    """The size of the tiny base, in terms of Qwen3Config. One and a half million parameters learn six hundred facts in minutes on two
    CPU cores; twice the size learns less in the same time."""

    renamed: ClassVar = {
        "vocabulary": "vocab_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "key_value_heads": "num_key_value_heads",
        "head_size": "head_dim",
        "context": "max_position_embeddings",
    }

    vocab_size: PositiveInt = Field(1280, description="Tokens; extend adds the domain's words.")
    hidden_size: PositiveInt = Field(192, description="Width of the hidden states.")
    num_hidden_layers: PositiveInt = Field(3, description="Layers.")
    num_attention_heads: PositiveInt = Field(3, description="Attention heads of a layer.")
    num_key_value_heads: PositiveInt = Field(1, description="Heads of keys and values, shared by the attention heads.")
    head_dim: PositiveInt = Field(64, description="Width of a head.")
    intermediate_size: PositiveInt = Field(512, description="Width of the feed-forward part.")
    max_position_embeddings: PositiveInt = Field(512, description="Context, in tokens.")


def build_tokenizer(texts: Iterable[str], shape: Shape) -> Any:
    """A tokenizer with at most `shape.vocab_size` tokens, with ChatML's special tokens and template."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORDS), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    thinking = [AddedToken(THINK, special=False), AddedToken(THINK_END, special=False)]
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocab_size - len(thinking),
        special_tokens=[END_OF_TEXT, TURN, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_tokens(thinking)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        model_max_length=shape.max_position_embeddings,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def chat() -> Chat:
    """ChatML as the tokenizer to be built will write it."""
    from tokenizers import AddedToken, Tokenizer, models

    marks = Tokenizer(models.BPE())
    marks.add_special_tokens([END_OF_TEXT, TURN, TURN_END])
    marks.add_tokens([AddedToken(THINK, special=False), AddedToken(THINK_END, special=False)])
    return Chat(marks, CHATML, {})


def config_of(shape: Shape, words: int, **marks: Any) -> Any:
    """Its configuration. words: of its vocabulary."""
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=words,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        head_dim=shape.head_dim,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_position_embeddings,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        dtype="float32",
        **marks,
    )


def build_model(tokenizer: Any, shape: Shape, seed: int) -> Any:
    """A freshly initialised Qwen3ForCausalLM with tied embeddings."""
    from transformers import Qwen3ForCausalLM, set_seed

    set_seed(seed)
    model = Qwen3ForCausalLM(config_of(shape, len(tokenizer), eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))
    # Documents end with one of these tokens and turns with the other; generation may stop at either.
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model
