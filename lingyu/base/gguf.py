"""A base model from a GGUF file: its weights dequantised, its tokenizer and chat template beside them, in a folder like any other."""

import hashlib
from pathlib import Path
from typing import Any, Literal

from lingyu.stage import StageError

Precision = Literal["bf16", "fp16", "fp32"]
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def dequantise(name: str, revision: str, precision: Precision, out: Path) -> dict[str, str]:
    """Write the model of the file `name` to `out`, and return where it is from: file, sha256, quantization, architecture, licence.

    revision: the file's sha256, or empty. Raises StageError where the file is none, another, or of a kind that transformers does not read.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    from lingyu.model.load import save

    file = Path(name)
    source = origin(file, revision)
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
        model, told = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=getattr(torch, DTYPES[precision]),
            local_files_only=True,
            output_loading_info=True,
        )
        if absent := sorted(told["missing_keys"]):  # transformers would begin them at random
            raise ValueError(f"{len(absent)} weights of the architecture are not in the file, first {absent[0]}")
    except (ValueError, NotImplementedError, KeyError, RuntimeError) as error:
        raise StageError(
            f"transformers cannot read {file.name} (architecture {source['architecture']}, {source['quantization']}): "
            f"{str(error).splitlines()[0]}. Take the model as safetensors (base.model.kind: folder, huggingface or modelscope)."
        ) from error
    if len(tokenizer) > (rows := model.get_input_embeddings().weight.shape[0]):
        raise StageError(f"{file.name} has {len(tokenizer)} tokens, but embeddings for {rows}: the file is damaged or badly converted.")
    model.config.dequantized_from = source  # in config.json, so that every model trained from it says so, and its card
    save(model, tokenizer, out)
    return source


def origin(file: Path, revision: str) -> dict[str, str]:
    """What the file says of itself, once its hash is known to be `revision`."""
    if not file.is_file():
        raise StageError(f"base.model.name is {str(file)!r}, but there is no such file. Correct the path of the GGUF file in params.yaml.")
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise StageError(f"base.model.name is {str(file)!r}, which is no GGUF file. For a folder of safetensors set kind: folder.")
        opened.seek(0)
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if revision and found != revision.lower().removeprefix("sha256:"):
        raise StageError(
            f"{file} has the sha256 {found}, but base.model.revision is {revision}. It is another file or a damaged one: "
            "fetch it again, or write the new hash into params.yaml if that is the file you mean."
        )
    if not revision:
        print(UNPINNED.format(name=file, hash=found), flush=True)
    return {"file": file.name, "sha256": found, **described(file)}


def described(file: Path) -> dict[str, str]:
    from gguf import LlamaFileType
    from transformers.integrations.gguf.reader import read_gguf_metadata

    try:
        metadata: dict[str, Any] = read_gguf_metadata(str(file))[0]
        kind = LlamaFileType(metadata.get("general.file_type", LlamaFileType.GUESSED)).name
    except Exception as error:  # a cut file fails anywhere
        raise StageError(f"{file} cannot be read as GGUF ({str(error).splitlines()[0]}). Fetch it again.") from error
    return {
        "quantization": kind.removeprefix("MOSTLY_").removeprefix("ALL_"),
        "architecture": str(metadata.get("general.architecture", "unknown")),
        "licence": str(metadata.get("general.license", "unstated")),
    }


UNPINNED = """\
base.model.revision is empty: the next run would take any file of that name. Its sha256, for params.yaml:
base.model.revision 为空，下次运行不会校验文件。请将其 sha256 写入 params.yaml：
  model: {{kind: gguf, name: "{name}", revision: "{hash}"}}"""
