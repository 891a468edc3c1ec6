"""Which row each decision is about, and what it makes of the row."""

from collections import defaultdict
from collections.abc import Iterable

from lingyu.records import Made, Preference, Row
from lingyu.review.decisions import Decision
from lingyu.review.review_item import edited, even, shown, swapped

VERDICTS = {"approve": "approved", "edit": "edited", "swap": "edited"}
UNKNOWN = "no row has this id"
CHANGED = "its row says something else now"
CONTRADICTED = "another decision on the same text contradicts it"
AGAIN = "decided before, with the same word"
REPLACED = "its row was decided on again since it changed"


class Rulings:
    """Which decision is about which row. First every row is `seen`, then `settle` is called, then rows ask with `on`.

    A decision is about the row of its id while that says what the reviewer saw; else about the rows that say it now.
    """

    def __init__(self, decisions: list[Decision]) -> None:
        self.decisions = decisions
        self.unmet: dict[Decision, str] = {}  # with the reason
        self._by_id: dict[str, list[Decision]] = defaultdict(list)
        for decision in decisions:
            self._by_id[decision.id].append(decision)
        self._prints = {decision.print for decision in decisions if decision.print}
        self._ids: set[str] = set()  # those of decisions that a row has
        self._standing: dict[str, list[Decision]] = defaultdict(list)  # by id: the decisions on what its row says
        self._there: dict[str, list[str]] = defaultdict(list)  # by print that a decision looks for: the tables where a row says it
        self._moved: dict[tuple[str, str], Decision] = {}

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def seen(self, table: str, row: Row) -> str:
        """Note the row; the print of what it says, "" where no decision asks for it."""
        seen = self.print_of(row)
        if row.id in self._by_id:
            self._ids.add(row.id)
            self._standing[row.id] += [decision for decision in self._by_id[row.id] if about(decision, row, seen)]
        if seen in self._prints and table not in self._there[seen]:
            self._there[seen].append(table)
        return seen

    def print_of(self, row: Row) -> str:
        return shown(row).print() if self._prints else ""

    def settle(self) -> None:
        """Find the rows of those decisions whose id no row has, or one that says something else."""
        loose: dict[tuple[str, str], list[Decision]] = defaultdict(list)
        for row_id, several in self._by_id.items():
            standing = self._standing.get(row_id, [])
            self.unmet |= dict.fromkeys(standing[1:], AGAIN)
            for decision in (decision for decision in several if decision not in standing):
                tables = [table for table in self._there.get(decision.print, []) if decision.table in ("", table)]
                for table in tables:
                    loose[table, decision.print].append(decision)
                if not tables:
                    self.unmet[decision] = UNKNOWN if row_id not in self._ids else REPLACED if standing else CHANGED
        for place, found in loose.items():
            if len({decision.says() for decision in found}) > 1:
                self.unmet |= dict.fromkeys(found, CONTRADICTED)
            else:
                self._moved[place] = found[0]
                self.unmet |= dict.fromkeys(found[1:], AGAIN)

    def on(self, table: str, row_id: str, seen: str) -> Decision | None:
        """The decision about a row, given the print of what it says."""
        standing = self._standing.get(row_id)
        return standing[0] if standing else self._moved.get((table, seen))

    def outdated(self, row_id: str) -> Decision | None:
        """The last decision on what the row said before."""
        several = [decision for decision in self._by_id.get(row_id, []) if self.unmet.get(decision) == CHANGED]
        return several[-1] if several else None

    def moved(self, decision: Decision) -> bool:
        """Whether the decision found its row under another id."""
        return decision not in self.unmet and decision not in self._standing.get(decision.id, ())


def about(decision: Decision, row: Row, seen: str) -> bool:
    """Whether a decision is about what its row says; where it does not tell what the reviewer saw, its id is believed."""
    if decision.print:
        return decision.print == seen
    return decision.decision == "edit" or even(decision.answer) in ("", even(shown(row).answer))


def applied(row: Row, decision: Decision | None) -> Row:
    """The row as a decision that lets it pass leaves it, with the verdict and who gave it."""
    if decision and decision.decision == "edit":
        row = edited(row, decision.answer, decision.reasoning)
    if decision and decision.decision == "swap" and isinstance(row, Preference):
        row = swapped(row)
    if not isinstance(row, Made):
        return row
    by = f" by {decision.reviewer}" if decision and decision.reviewer else ""
    return row.model_copy(update={"review": f"{VERDICTS[decision.decision]}{by}" if decision else "auto"})


def misfits(rows: Iterable[tuple[str, Row]], rulings: Rulings) -> list[str]:
    """A line for each decision that changes something that its word does not ask for: the change would be lost."""
    return list(
        dict.fromkeys(
            f"  {decision.where}: {fault}"
            for table, row in rows
            if (decision := rulings.on(table, row.id, rulings.print_of(row))) and (fault := misfit(row, decision))
        )
    )


def misfit(row: Row, decision: Decision) -> str | None:
    """What is wrong with a decision, looked at beside its row."""
    says = shown(row)
    if decision.decision == "swap" and not isinstance(row, Preference):
        return "swap is for pairs of replies; approve, edit or reject."
    if decision.decision == "reject" or not decision.print:
        return None
    if decision.question and even(decision.question) != even(says.question):
        return "the question was changed, and only answers can be; put it back, or reject the row and say why in the note."
    texts = [(decision.answer, says.answer)] if decision.answer else []
    texts += [(decision.reasoning, says.reasoning)] if decision.reasoning is not None else []
    changed = any(even(given) != even(was) for given, was in texts)
    if changed and decision.decision != "edit":
        return f"{decision.decision}, but the answer beside it was changed; write edit to take the change, or put it back."
    if decision.decision == "edit" and not changed:
        return "edit, but the answer is the one that was there; change it, or write approve."
    return None
