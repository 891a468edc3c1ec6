"""A model small enough to load, ask and train in a test: an untrained Qwen3 with a byte-level tokenizer and the chat template."""

from pathlib import Path

from lingyu.model.chat import CHATML


def build_tiny_model(folder: Path, kind: str = "CausalLM", seed: int = 0, **more) -> Path:
    """kind: CausalLM or SequenceClassification; more: settings of Qwen3Config."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator([], trainers.BpeTrainer(vocab_size=300, special_tokens=marks, initial_alphabet=alphabet, show_progress=False))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHATML

    shape = {
        "vocab_size": 320,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "intermediate_size": 64,
        "max_position_embeddings": 512,
    }
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    config = transformers.Qwen3Config(**{**shape, **ids, "tie_word_embeddings": True, "rope_parameters": rope, "dtype": "float32", **more})
    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(seed)
    getattr(transformers, f"Qwen3For{kind}")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_extended_model(folder: Path, words: list[str], **more) -> Path:
    """The same with words that were added to its vocabulary, as `extend` does it."""
    from lingyu.model import vocabulary
    from lingyu.model.load import load_model, load_tokenizer, save

    build_tiny_model(folder, **more)
    model, tokenizer = load_model(folder, 64), load_tokenizer(folder)
    rows = [{"term": word, "pieces": tokenizer(word)["input_ids"]} for word in words]
    longer = vocabulary.extended(tokenizer, rows)
    vocabulary.add(model, longer, rows, noise=1.0, seed=0)
    save(model, longer, folder)
    return folder
