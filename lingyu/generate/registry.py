"""The methods that make rows, a line for each: generate runs them, mix weights their rows, review has a policy for them.

To read this file is to import none of them: mix and review depend on the names, not on the code of the methods.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal

Policy = Literal["auto", "sample", "required"]


@dataclass(frozen=True)
class Method:
    """name: as records.Made.method says it. module: under lingyu.generate; "" for methods that plan.py puts together. review: the
    policy where review.policies has no other."""

    name: str
    module: str = ""
    review: Policy = "auto"

    @property
    def section(self) -> str:
        """The method's key in its section of params.yaml."""
        return self.module.rpartition(".")[2]

    def load(self, *needs: str) -> ModuleType:
        """The method's module, which must have METHOD and what else is needed."""
        module = import_module(f"lingyu.generate.{self.module}")
        if lacking := [name for name in ("METHOD", *needs) if not hasattr(module, name)]:
            raise TypeError(f"{module.__file__} lacks {', '.join(lacking)}, which every method of its kind has")
        if self.name != module.METHOD:
            raise TypeError(f"{module.__file__} has METHOD {module.METHOD!r}; {__name__} registers it as {self.name!r}")
        return module


# They make rows of the test and of dev, too, or of several kinds of records at once.
CORE = (
    Method("given"),
    Method("fact"),
    Method("classify"),
    Method("article"),
    Method("corruption"),
    Method("demonstration"),
)
# METHOD, Params and make(params, taught, left): lingyu/generate/rules/methods.py.
RULES = (
    Method("exam", "rules.exams"),
    Method("retrieval", "rules.retrieval"),
    Method("definition", "rules.definitions"),
    Method("situation", "rules.situations"),
    Method("keywords", "rules.keywords"),
    Method("turns", "rules.turns"),
    Method("outside", "rules.outside"),
    # As right as its signal.
    Method("weak", "rules.weak", review="sample"),
)
# METHOD, PROMPTS, Asked and make(learn, asked, teaching): lingyu/generate/llm/run.py. Their rows were made by a model.
LLM = (
    Method("reliable", "llm.reliable", review="sample"),
    Method("entity", "llm.entity", review="sample"),
    Method("seeds", "llm.seeds", review="sample"),
    Method("scenario", "llm.scenario", review="sample"),
    # What follows from articles, what replaces a person's answer, what is better, what hurts: no rule can check these.
    Method("opinion", "llm.opinion", review="required"),
    Method("retold", "llm.retold", review="sample"),
    Method("clarify", "llm.clarify", review="sample"),
    Method("replaced", "llm.replaced", review="required"),
    Method("judged", "llm.judged", review="required"),
    Method("nvc", "llm.nvc", review="required"),
)

POLICIES: dict[str, Policy] = {method.name: method.review for method in (*CORE, *RULES, *LLM)}
METHODS: tuple[str, ...] = tuple(POLICIES)
"""What records.Made.method can say."""


def fault_of_names(named: Iterable[str]) -> str | None:
    """What is wrong with the methods that a mapping names, or None."""
    unknown = sorted(set(named) - set(METHODS))
    return f"no method is named {', '.join(unknown)}; known: {', '.join(METHODS)}" if unknown else None
