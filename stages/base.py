"""base: fetch the base model at a pinned revision, or build the tiny one and train it on general text.

Reads   out/split/train             the general rows, or where there are none those of the domain, for the tiny base only
        out/split/dev               the same, to measure by
Writes  out/base/model              weights, tokenizer and chat template
        out/base/curves.csv         losses of the tiny base by step
        out/base/metrics.json       parameters, what its training came to, and of which scope its text was
"""

import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lingyu.base import gguf, hub, tiny
from lingyu.base.template import SHIPPED, Reasoning, adapted, template_named
from lingyu.files import read_json, read_table, write_json
from lingyu.launch import is_first
from lingyu.model.chat import Chat, unescaped
from lingyu.model.load import load_tokenizer, prepare, save
from lingyu.model.portable import make_portable
from lingyu.records import TABLES, Dialogue, Document, Exam, Fact, Label, Message, Preference, Row, Scope
from lingyu.stage import StageError, StageParams, start
from lingyu.train.checkpoints import finish, restored, workplace
from lingyu.train.checks import check_machine, end_of_turn
from lingyu.train.data import packed, stored
from lingyu.train.run import causal_trainer, train, write_curves
from lingyu.train.settings import Training


class Source(StageParams):
    """Where the base comes from."""

    kind: Literal["tiny", "folder", "gguf", "huggingface", "modelscope"] = Field(
        "tiny",
        description="tiny: built here, offline, from general text, or from the domain's where there is none. folder: a path. gguf: a GGUF "
        "file, whose weights are dequantized. huggingface, modelscope: a hub.",
    )
    name: str = Field("", description="owner/name on a hub, or the path of a folder or GGUF file.")
    revision: str = Field(
        "", description="A commit or tag of the hub, or the sha256 of the GGUF file, so that next month's run uses the same weights."
    )
    dtype: gguf.Precision = Field(
        "bf16", description="Of the weights of a GGUF file once dequantized. bf16 holds more than its 4 or 8 bits tell apart."
    )
    chat_template: str = Field(
        "",
        description=f"The chat template of a base that has none, or in place of its own: {' or '.join(SHIPPED)}, whose marks its tokenizer "
        "must know, or the path of a .jinja file.",
    )
    reasoning: Reasoning = Field(
        "inline",
        description="Where a reply's reasoning goes if the base's chat template has no place for it. inline: between think marks at the "
        "head of the reply. template: nowhere; rows with reasoning are refused by name.",
    )
    date: datetime.date = Field(
        datetime.date(2026, 1, 1),
        description="The date in the prompts of templates that write today's (Llama 3). A fixed one: the same corpus must give the same "
        "bytes.",
    )

    @model_validator(mode="after")
    def pinned(self) -> "Source":
        if self.kind == "gguf" and not self.name:
            raise ValueError("kind gguf needs the path of a GGUF file as name")
        if self.kind in {"huggingface", "modelscope"} and not (self.name and self.revision):
            raise ValueError("a base from a hub needs its name and a revision, so that the next run takes the same weights")
        return self


class TinyTraining(Training):
    """Training of the tiny base. The section `training` does not hold here: whoever changes it would fetch a base from a hub again."""

    max_length: PositiveInt = Field(64, description="Tokens of a packed block.")
    global_batch_size: PositiveInt = Field(8, description="Rows of one optimizer update.")
    num_train_epochs: PositiveFloat = Field(2, description="Times that the text is read.")
    learning_rate: PositiveFloat = Field(3.0e-3, description="The highest rate of the schedule.")


class Params(StageParams):
    model: Source = Field(Source(), description="Where the base comes from.")
    shape: tiny.Shape = Field(tiny.Shape(), description="Size of the tiny base.")
    training: TinyTraining = Field(TinyTraining(), description="Training of the tiny base.")

    @property
    def processes(self) -> int:
        return self.training.processes if self.model.kind == "tiny" else 1

    @model_validator(mode="after")
    def within_context(self) -> "Params":
        if self.model.kind == "tiny" and self.training.max_length > self.shape.max_position_embeddings:
            raise ValueError(
                f"training.max_length {self.training.max_length} is more than shape.max_position_embeddings "
                f"{self.shape.max_position_embeddings}"
            )
        return self


def run(params: Params, train_folder: Path, dev_folder: Path, work: Path, out: Path) -> None:
    if params.model.kind != "tiny":
        source = fetched(params.model, out / "model")
        complete(out / "model", params.model)
        write_curves([], out / "curves.csv")
        write_json(out / "metrics.json", {"parameters": hub.parameters(out / "model"), **source})
        return

    check_machine(params.training)
    prepare(params.training.threads, params.training.seed)
    scope = scope_of(train_folder)
    texts, held = texts_of(train_folder, scope), texts_of(dev_folder, scope)
    if scope == "domain" and is_first():
        print(NO_GENERAL.format(count=len(texts)), flush=True)
    tokenizer = tiny.build_tokenizer(map(unescaped, texts), params.shape)
    model = tiny.build_model(tokenizer, params.shape, params.training.seed)

    place = workplace(work, params, [train_folder, dev_folder], __file__)
    if restored(place, out):
        return
    examples, dev = (
        stored(packed(part, tokenizer, params.training.max_length), place / f"{name}.arrow")
        for name, part in (("train", texts), ("dev", held or texts[:1]))
    )
    trainer = causal_trainer(model, tokenizer, examples, dev, params.training, place, "base", out)
    metrics: dict[str, Any] = train(trainer, "base", params.training.kernels)

    save(trainer.model, tokenizer, out / "model")
    write_curves(trainer.state.log_history, out / "curves.csv")
    write_json(out / "metrics.json", {**metrics, "vocabulary": len(tokenizer), "learnt_from": scope})
    finish(place, out)


def fetched(source: Source, model: Path) -> dict[str, Any]:
    """Bring the model to its folder; what metrics.json is to say of its origin."""
    if source.kind == "gguf":
        return {"source": gguf.dequantise(source.name, source.revision, source.dtype, model)}
    hub.fetch(source.kind, source.name, source.revision, model)
    return {}


def complete(model: Path, source: Source) -> None:
    """Tokenizer, chat template and end marks as the next stages need them. Raises StageError for a base without one of them."""
    if source.chat_template:
        (model / "chat_template.jinja").write_text(template_named(source.chat_template), encoding="utf-8")
    tokenizer = load_tokenizer(model)
    template = adapted(Chat.of(tokenizer), source.reasoning, source.date)
    if template != tokenizer.chat_template or not (model / "chat_template.jinja").is_file() or not same_tokens(tokenizer, model):
        tokenizer.chat_template = template
        tokenizer.save_pretrained(model)
        make_portable(model)
    end_replies(tokenizer, model)


def same_tokens(tokenizer: Any, model: Path) -> bool:
    """Whether the tokenizer.json that mix and service read is what transformers makes of it: some, as Llama 2's, it builds anew."""
    from tokenizers import Tokenizer

    path = model / "tokenizer.json"
    return path.is_file() and Tokenizer.from_file(str(path)).to_str() == tokenizer.backend_tokenizer.to_str()


def end_replies(tokenizer: Any, model: Path) -> None:
    """Have whoever generates stop at the token that ends a reply: some bases name only the one that ends a document."""
    path = model / "generation_config.json"
    written = read_json(path) if path.is_file() else {}
    named = written.get("eos_token_id", read_json(model / "config.json").get("eos_token_id"))
    ends = named if isinstance(named, list) else [named] if named is not None else []
    end = tokenizer.convert_tokens_to_ids(end_of_turn(tokenizer, model))
    if end not in ends:
        write_json(path, {**written, "eos_token_id": [*ends, end]})


NO_GENERAL = (
    "data/ has no text with scope general: the tiny base is trained on the domain's own {count} training texts, and forgetting cannot be "
    "measured. To fix both, add a folder general/ with everyday text.\n"
    "data/ 中没有通用文本：微型基座将使用领域自身的 {count} 段训练文本学习语言，且无法测量遗忘程度。"
    "添加 general/ 目录并放入日常文本即可解决。"
)


def scope_of(folder: Path) -> Scope:
    """Whose text the tiny base learns from: general text where there is any, for that is what the domain's is added to."""
    scopes = {row.scope for table, row_type in TABLES.items() for row in read_table(folder / f"{table}.parquet", row_type)}
    if not scopes:
        raise StageError(
            f"{folder} holds no row, so there is no text to build the tiny base from. Bring more files, hold fewer of them out "
            "(params.yaml, split.tables), or name a base under base.model in params.yaml."
        )
    return "general" if "general" in scopes else "domain"


def texts_of(folder: Path, scope: Scope) -> list[str]:
    """What the rows of the scope say, table by table; without dialogues of which a reply is not to be learnt."""
    rows = (row for table, row_type in TABLES.items() for row in read_table(folder / f"{table}.parquet", row_type))
    chat = tiny.chat()
    return [text_of(row, chat) for row in rows if row.scope == scope and not (isinstance(row, Dialogue) and row.is_masked)]


def text_of(row: Row, chat: Chat) -> str:
    """Text as it is, dialogues as the chat template writes them."""
    match row:
        case Document() | Label():
            return chat.literal(row.text)
        case Dialogue():
            return chat.render(row.messages)
        case Preference():
            return chat.render([*row.messages, Message(role="assistant", content=row.chosen)])
        case Exam():
            return chat.literal("\n".join([row.question, *row.options]))
        case Fact():
            return chat.literal(" ".join([row.entity, row.relation, *row.values]))
    raise TypeError(f"no such row: {type(row)}")


if __name__ == "__main__":
    start(
        run,
        Params,
        heavy=True,
        train_folder=Path("out/split/train"),
        dev_folder=Path("out/split/dev"),
        work=Path(".lingyu/base"),
        out=Path("out/base"),
    )
