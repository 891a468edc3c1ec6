"""A system message that names the kind of task, for a share of the rows: who deploys the model may name it too, and need not."""

from collections.abc import Iterable, Iterator

from lingyu.generate.rules import articles, classify, definitions, exams, facts, given, keywords, retrieval, situations, turns
from lingyu.generate.stable_choice import number
from lingyu.records import Dialogue, Language, Message

SKILLS: dict[str, dict[Language, str]] = {
    facts.TASK: {"zh": "技能：事实问答。只答所问的值。", "en": "Skill: facts. Answer with the value asked for."},
    articles.RECALL: {"zh": "技能：背诵条文。写出条号和原文。", "en": "Skill: recall. Give the provision's number and its words."},
    articles.CITE: {"zh": "技能：查找出处。答出文件名和条号。", "en": "Skill: citing. Name the document and the number."},
    classify.TASK: {"zh": "技能：文本分类。只答类名。", "en": "Skill: classification. Answer with the class only."},
    exams.CHOICE: {"zh": "技能：选择题。写出全部正确选项。", "en": "Skill: multiple choice. Give every right option."},
    exams.JUDGE: {"zh": "技能：判断对错。先下结论，再说理由。", "en": "Skill: true or false. Judge first, then give the reason."},
    retrieval.TASK: {
        "zh": "技能：依据资料回答。资料没有的，就说没有。",
        "en": "Skill: answering from passages. What they do not say, say so.",
    },
    definitions.DEFINE: {"zh": "技能：解释术语。用文件中的定义。", "en": "Skill: terms. Use the document's definition."},
    definitions.NAME: {"zh": "技能：由定义找术语。只答术语。", "en": "Skill: finding the term. Answer with the term only."},
    situations.TASK: {"zh": "技能：情形判断。先下结论，再引条文。", "en": "Skill: situations. Decide first, then quote the provision."},
    situations.BASIS: {"zh": "技能：查明依据。只列条文。", "en": "Skill: grounds. List the provisions only."},
    keywords.TASK: {"zh": "技能：提取关键词。只用文中的词。", "en": "Skill: keywords. Use only words of the text."},
    turns.TASK: {"zh": "技能：连续问答。记住前面说的是什么。", "en": "Skill: follow-up questions. Remember what was spoken of."},
    given.REASON: {"zh": "技能：先思考，再作答。", "en": "Skill: reasoning. Think before you answer."},
}
"""By task, what the message says. Tasks that files name for themselves have none."""


def with_skills(rows: Iterable[Dialogue], share: float, seed: int) -> Iterator[Dialogue]:
    """The rows, a share of them under the message of their task; not those that bring a system message of their own.

    A row keeps its id: what people decided about its answer holds on.
    """
    for row in rows:
        skill = SKILLS.get(row.task)
        if skill is None or row.messages[0].role == "system" or number(seed, "skill", row.id) >= share * 2**64:
            yield row
        else:
            yield row.model_copy(update={"messages": [Message(role="system", content=skill[row.language]), *row.messages]})


def has_skill(row: Dialogue) -> bool:
    return row.messages[0].role == "system" and row.messages[0].content in SKILLS.get(row.task, {}).values()
