"""What a checkpoint makes of each kind of test item: replies with their scores, likelihoods of texts, choices between replies."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingyu.evaluate import ask, metrics, overlap, rules
from lingyu.evaluate import kept as keeping
from lingyu.evaluate.kept import through
from lingyu.evaluate.scorer import Prediction
from lingyu.evaluate.scorers import classes, exams, reasoning, values_of
from lingyu.model.chat import Chat, unescaped
from lingyu.model.load import device, load_scorer, load_tokenizer
from lingyu.model.scoring import scored_text, scores
from lingyu.records import Document, Message, Preference, Question


def answers(
    checkpoint: ask.Checkpoint, questions: Sequence[Question], new_tokens: Mapping[str, int], compared: Collection[str] = ()
) -> list[Prediction]:
    """The checkpoint's reply to each question, scored. new_tokens: the longest reply by task, `other` for all others; compared: the tasks
    whose replies are compared with the reference by BLEU, ROUGE and words."""
    room = [new_tokens.get(question.task, new_tokens["other"]) for question in questions]
    prompts = [checkpoint.chat.prompt(question.messages, question.task == reasoning.TASK) for question in questions]
    replies = ask.replies(checkpoint, prompts, room)
    unasked = sum(reply is None for reply in replies)
    if unasked:
        print(f"{unasked} of {len(questions)} questions do not fit the context of {checkpoint.context} tokens and count as answered wrong")
    options = ordered_options(questions)
    rows = [judged(*row, options, compared) for row in zip(questions, prompts, (reply or "" for reply in replies), strict=True)]
    return with_likeliest(checkpoint, rows, questions, prompts)


def judged(question: Question, prompt: str, reply: str, options: list[str], compared: Collection[str] = ()) -> Prediction:
    """What the scorers of the question's task say of a reply."""
    fields: dict[str, Any] = {"known": question.known, "prompt": unescaped(prompt), "reply": reply, "answer": question.answer}
    if question.task == classes.TASK:
        labels = [option for option in options if option in {question.answer, *question.wrong}]
        fields |= {"options": labels, "label": rules.chosen_label(reply, labels) or metrics.INVALID}
    values = values_of(question, reply)
    if question.task in compared:
        values |= overlap.overlaps(reply, question.answer, question.language)
    return blank(question, question.task, values=values, **fields)


def given(questions: Sequence[Question], replies: Mapping[str, str], compared: Collection[str] = ()) -> list[Prediction]:
    """What scorers say of replies that were made elsewhere, by the id of the question; one without is answered by nothing."""
    options = ordered_options(questions)
    return [judged(one, one.messages[-1].content, replies.get(one.id, ""), options, compared) for one in questions]


def with_likeliest(
    checkpoint: ask.Checkpoint, rows: list[Prediction], questions: Sequence[Question], prompts: Sequence[str]
) -> list[Prediction]:
    """Exam items with whether the model finds the right options likeliest: a token of each, on average, than of any wrong one."""
    sides, owners = [], []
    for place, question in enumerate(questions):
        if question.task == exams.TASK and exams.right_options(question):
            for letter, text in exams.options_of(question).items():
                sides.append((prompts[place], f"{letter}. {text}"))
                owners.append((place, letter))
    found: dict[int, dict[str, float]] = {}
    for (place, letter), mean in zip(owners, ask.token_means(checkpoint, sides), strict=True):
        found.setdefault(place, {})[letter] = mean
    made = list(rows)
    for place, means in found.items():
        right = exams.right_options(questions[place])
        likeliest = frozenset(sorted(means, key=lambda letter: (-means[letter], letter))[: len(right)])
        made[place] = with_value(made[place], "likeliest", float(likeliest == right))
    return made


def with_rewards(
    rows: list[Prediction], questions: Sequence[Question], reward: Path, kept: Path | None = None, keep_mb: int = 0
) -> list[Prediction]:
    """The replies with what the reward model thinks of them, read by its own tokenizer and template. It judges what it was
    trained on: replies to what people's pairs ask, and those about facts where there are no such pairs."""
    judged_task = "preferred" if any(row.task == "preferred" for row in rows) else "fact"
    places = [place for place, row in enumerate(rows) if row.task == judged_task]
    if not places:
        return rows
    tokenizer = load_tokenizer(reward)
    chat = Chat.of(tokenizer)
    texts = [scored_text(questions[place].messages, rows[place].reply, chat) for place in places]

    def made(missing: list[int]) -> Iterator[tuple[list[int], list[float]]]:
        if missing:
            judge = load_scorer(reward, ask.LONG).to(device())
            yield missing, scores(judge, tokenizer, [texts[place] for place in missing], batch=64)

    found = dict(zip(places, through(keeping.of(reward, kept, keep_mb), "reward", texts, made), strict=True))
    return [with_value(row, "reward", found[place]) if place in found else row for place, row in enumerate(rows)]


def with_value(row: Prediction, name: str, value: float) -> Prediction:
    return row.model_copy(update={"values": {**row.values, name: value}})


def likelihoods(checkpoint: ask.Checkpoint, documents: Sequence[Document], scope: str, stride: int) -> list[Prediction]:
    """How well the checkpoint predicts each text; by bytes, because tokens differ between vocabularies."""
    nats = ask.nats_of_texts(checkpoint, [row.text for row in documents], stride)
    values = [{"bits": total / math.log(2), "bytes": float(len(row.text.encode()))} for row, total in zip(documents, nats, strict=True)]
    return [blank(row, scope, values=found) for row, found in zip(documents, values, strict=True)]


def choices(checkpoint: ask.Checkpoint, preferences: Sequence[Preference]) -> list[Prediction]:
    """Whether a token of the chosen reply is likelier, on average, than one of the rejected."""
    better, worse = (
        [checkpoint.chat.prompt_and_reply([*row.messages, Message(role="assistant", content=getattr(row, side))]) for row in preferences]
        for side in ("chosen", "rejected")
    )
    margins = ask.token_margins(checkpoint, better, worse)
    return [
        blank(row, "preference", prompt=unescaped(prompt), answer=row.chosen, values={"exact": float(margin > 0), "margin": margin})
        for row, (prompt, _), margin in zip(preferences, better, margins, strict=True)
    ]


def blank(row: Document | Question | Preference, task: str, **fields: Any) -> Prediction:
    """A prediction of this item: who it is, what is given here, and nothing else."""
    references = [] if isinstance(row, Document) else row.references
    nothing: dict[str, Any] = dict.fromkeys(("known", "prompt", "reply", "answer", "label"), "") | {"options": [], "values": {}}
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
