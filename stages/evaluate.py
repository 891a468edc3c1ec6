"""evaluate: ask a checkpoint the frozen test items, and measure what it answers.

Reads   out/${item.checkpoint}/model               the checkpoint, as params.yaml names it
        out/${item.checkpoint}/curves.csv          the losses of its training
        out/reward/model                           scores its replies to what preference pairs ask, else to questions about facts; not a
                                                   model where reward.enabled is false
        out/mix/test                               questions, domain, general, preference (.parquet)
Writes  out/evaluate/${key}/predictions.parquet    a row for each test item, in the same order for every checkpoint
        out/evaluate/${key}/confusion.csv          actual, predicted, count of the classification, "invalid" included
        out/evaluate/${key}/checkpoint.json        which checkpoint it is: the hash of each file, and its losses
        out/evaluate/${key}/metrics.json           each metric with its 95 % interval and count

A metric without test items is left out. A question longer than the checkpoint's context counts as answered wrong.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.evaluate import ask, metrics, rules
from lingyu.evaluate.metrics import Prediction
from lingyu.files import hashes, read_table, write_json, write_table
from lingyu.model.chat import prompt_and_reply, render
from lingyu.model.load import is_model, load_scorer, load_tokenizer, prepare
from lingyu.model.scoring import scored_text, scores
from lingyu.records import Document, Message, Preference, Question
from lingyu.stage import StageError, StageParams, start

LOSSES = ("step", "train_loss", "eval_loss")


class NewTokens(StageParams):
    """Tokens of the longest reply of each task: half as long again as the longest right one of the default corpus, with either vocabulary.
    A model that never ends a reply, as the base, writes all of them, so more cost time."""

    fact: PositiveInt = Field(24, description="Questions about facts.")
    preferred: PositiveInt = Field(24, description="What preference pairs ask.")
    classify: PositiveInt = Field(10, description="Texts to classify.")
    reason: PositiveInt = Field(64, description="Questions to answer after reasoning, which counts too.")
    recall: PositiveInt = Field(192, description="Articles to recall.")
    cite: PositiveInt = Field(48, description="Articles to cite.")
    chat: PositiveInt = Field(24, description="Questions that came with the corpus.")
    other: PositiveInt = Field(64, description="All other tasks.")


class Params(StageParams):
    renamed: ClassVar = {"new_tokens": "max_new_tokens"}

    checkpoint: str = Field(description="Folder under out/ whose model is measured: base, extend, pretrain, sft/NAME or align/NAME.")
    threads: PositiveInt = Field(
        2, description="CPU threads. Sums over floats depend on their number: another may change the last digit of a likelihood."
    )
    seed: NonNegativeInt = Field(0, description="Of the resamples.")
    resamples: PositiveInt = Field(
        1000, description="Bootstrap resamples behind an interval; 1,000 settle the second digit of a 95 % bound."
    )
    batch_tokens: PositiveInt = Field(
        4096,
        description="Tokens computed at once (rows times length). On two cores 65,536 take four times as long as 4,096; a GPU needs "
        "65,536 and more.",
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32",
        description="On a CPU. With bf16 the tiny model was slower, because its weights are converted at every token. A GPU uses what the "
        "checkpoint was saved in.",
    )
    stride: PositiveInt = Field(
        128, description="Texts longer than the context are read in windows; each token has at least so many before it."
    )
    max_new_tokens: NewTokens = Field(NewTokens(), description="Tokens of the longest reply of each task.")


def run(params: Params, models: Path, reward: Path, test: Path, out: Path) -> None:
    questions = list(read_table(test / "questions.parquet", Question))
    texts = {scope: list(read_table(test / f"{scope}.parquet", Document)) for scope in ("domain", "general")}
    preferences = list(read_table(test / "preference.parquet", Preference))
    if not (questions or preferences or any(texts.values())):
        raise StageError(
            f"all tables of {test} are empty, so there is nothing to measure. Add data, or raise the test share in section split."
        )

    prepare(params.threads)
    checkpoint = ask.load(models / params.checkpoint / "model", params.batch_tokens, params.precision)
    answered = answers(checkpoint, questions, params.max_new_tokens)
    rewarded = is_model(reward)
    if rewarded:
        answered = with_rewards(answered, questions, reward, checkpoint.model.device)
    likely = [row for scope, rows in texts.items() for row in likelihoods(checkpoint, rows, scope, params.stride)]
    preferred = choices(checkpoint, preferences)

    predictions = [*answered, *likely, *preferred]
    write_table(out / "predictions.parquet", predictions, Prediction)
    with (out / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("actual", "predicted", "count"), *metrics.confusion_rows(predictions)])
    folder = models / params.checkpoint
    asked = {"checkpoint": params.checkpoint, "rewarded": rewarded, "files": hashes(folder / "model")}
    write_json(out / "checkpoint.json", {**asked, "curve": read_curve(folder / "curves.csv")})
    write_json(out / "metrics.json", metrics.measured(predictions, params.resamples, params.seed))


def read_curve(path: Path) -> list[dict[str, float | None]]:
    """Step and losses of each line; nothing where no training took place."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(line[name]) if line[name] else None for name in LOSSES} for line in csv.DictReader(file)]


def answers(checkpoint: ask.Checkpoint, questions: Sequence[Question], new_tokens: NewTokens) -> list[Prediction]:
    """The checkpoint's reply to each question, judged."""
    room = [getattr(new_tokens, question.task, new_tokens.other) for question in questions]
    prompts = [
        render(question.messages, checkpoint.tokenizer.chat_template, add_generation_prompt=True, enable_thinking=question.task == "reason")
        for question in questions
    ]
    replies = ask.replies(checkpoint, prompts, room)
    unasked = sum(reply is None for reply in replies)
    if unasked:
        print(f"{unasked} of {len(questions)} questions do not fit the context of {checkpoint.context} tokens and count as answered wrong")
    options = ordered_options(questions)
    return [judged(*row, options) for row in zip(questions, prompts, (reply or "" for reply in replies), strict=True)]


def judged(question: Question, prompt: str, reply: str, options: list[str]) -> Prediction:
    """The rules of the question's task, applied to the reply."""
    asked = question.messages[-1].content
    row = blank(question, question.task, known=question.known, prompt=prompt, reply=reply, answer=question.answer)
    if question.task == "classify":
        labels = [option for option in options if option in {question.answer, *question.wrong}]
        called = rules.chosen_label(reply, labels)
        return row.model_copy(update={"options": labels, "label": called or metrics.INVALID, "correct": called == question.answer})

    found: dict[str, Any] = {}
    said = reply
    if question.task == "reason":
        found["well_formed"] = rules.thought_and_answered(reply)
        said = reply.rpartition("</think>")[2]
    if question.task == "cite":
        found["correct"] = bool(rules.cites(said, asked, question.answer))
    elif question.task == "recall":
        found["cited"], said = rules.cites(said, asked), rules.body_of(said)
        found["correct"] = rules.bare(said) == rules.bare(question.answer)
    else:
        found["correct"] = rules.states_answer(said, question.answer, question.wrong, asked)
    return row.model_copy(update={**found, "char_f1": rules.character_f1(said, question.answer), "chrf": rules.chrf(said, question.answer)})


def with_rewards(rows: list[Prediction], questions: Sequence[Question], reward: Path, device: Any) -> list[Prediction]:
    """The replies with what the reward model thinks of them, read by its own tokenizer and template. It judges what it was
    trained on: replies to what people's pairs ask, and those about facts where there are no such pairs."""
    judged_task = "preferred" if any(row.task == "preferred" for row in rows) else "fact"
    places = [place for place, row in enumerate(rows) if row.task == judged_task]
    if not places:
        return rows
    tokenizer, judge = load_tokenizer(reward), load_scorer(reward, ask.LONG).to(device)
    texts = [scored_text(questions[place].messages, rows[place].reply, tokenizer) for place in places]
    found = dict(zip(places, scores(judge, tokenizer, texts, batch=64), strict=True))
    return [row.model_copy(update={"reward": found.get(place)}) for place, row in enumerate(rows)]


def likelihoods(checkpoint: ask.Checkpoint, documents: Sequence[Document], scope: str, stride: int) -> list[Prediction]:
    """How well the checkpoint foretells each text; counted by bytes, for tokens differ between vocabularies."""
    nats = ask.nats_of_texts(checkpoint, [row.text for row in documents], stride)
    return [blank(row, scope, nats=total, bytes=len(row.text.encode())) for row, total in zip(documents, nats, strict=True)]


def choices(checkpoint: ask.Checkpoint, preferences: Sequence[Preference]) -> list[Prediction]:
    """Whether a token of the chosen reply is likelier, on average, than one of the rejected."""
    better, worse = (
        [
            prompt_and_reply([*row.messages, Message(role="assistant", content=getattr(row, side))], checkpoint.tokenizer.chat_template)
            for row in preferences
        ]
        for side in ("chosen", "rejected")
    )
    margins = ask.token_margins(checkpoint, better, worse)
    return [
        blank(row, "preference", prompt=prompt, answer=row.chosen, correct=margin > 0, nats=margin)
        for row, (prompt, _), margin in zip(preferences, better, margins, strict=True)
    ]


def blank(row: Document | Question | Preference, task: str, **fields: Any) -> Prediction:
    """A prediction of this item: who it is, what is given here, and nothing else measured."""
    references = [] if isinstance(row, Document) else row.references
    nothing = (
        dict.fromkeys(Prediction.model_fields, None) | dict.fromkeys(("known", "prompt", "reply", "answer", "label"), "") | {"options": []}
    )
    known = {"id": row.id, "group": references[0] if references else row.id, "task": task, "language": row.language}
    return Prediction.model_validate({**nothing, **known, **fields})


def ordered_options(questions: Sequence[Question]) -> list[str]:
    """All classes, in the order in which the questions list them: by the mean place among the wrong ones."""
    places: dict[str, list[int]] = {}
    for question in questions:
        if question.task == "classify":
            places.setdefault(question.answer, [])
            for place, label in enumerate(question.wrong):
                places.setdefault(label, []).append(place)
    return sorted(places, key=lambda label: (sum(places[label]) / max(1, len(places[label])), label))


if __name__ == "__main__":
    start(
        run,
        Params,
        heavy=True,
        models=Path("out"),
        reward=Path("out/reward/model"),
        test=Path("out/mix/test"),
        out=Path("out/evaluate/{item}"),
    )
