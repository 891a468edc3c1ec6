"""Matches decisions to rows and applies them."""

from collections import defaultdict
from collections.abc import Iterable

from lingyu.records import Made, Preference, Row
from lingyu.review.decisions import Decision
from lingyu.review.review_item import edited, item_of, normalised, swapped

VERDICTS = {"approve": "approved", "edit": "edited", "swap": "edited"}
UNKNOWN = "no row has this id"
CHANGED = "its row has changed"
CONTRADICTED = "another decision on the same text contradicts it"
AGAIN = "repeats an earlier decision"
REPLACED = "superseded by a newer decision on the changed row"


class Rulings:
    """Matches decisions to rows. Call `add` for every row, then `settle`, then `on` for each row.

    A decision applies to the row with its id as long as that row has the text the reviewer saw; otherwise to the rows that
    have this text now.
    """

    def __init__(self, decisions: list[Decision]) -> None:
        self.decisions = decisions
        self.unmet: dict[Decision, str] = {}  # decisions without a row, with the reason
        self._by_id: dict[str, list[Decision]] = defaultdict(list)
        for decision in decisions:
            self._by_id[decision.id].append(decision)
        self._prints = {decision.print for decision in decisions if decision.print}
        self._ids: set[str] = set()  # ids of decisions that a row has
        self._standing: dict[str, list[Decision]] = defaultdict(list)  # by id: the decisions on the current text of its row
        self._there: dict[str, list[str]] = defaultdict(list)  # by fingerprint of a decision: the tables that have a row with it
        self._moved: dict[tuple[str, str], Decision] = {}

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def add(self, table: str, row: Row) -> str:
        """Register the row; returns its fingerprint, "" if no decision has one."""
        seen = self.print_of(row)
        if row.id in self._by_id:
            self._ids.add(row.id)
            self._standing[row.id] += [decision for decision in self._by_id[row.id] if about(decision, row, seen)]
        if seen in self._prints and table not in self._there[seen]:
            self._there[seen].append(table)
        return seen

    def print_of(self, row: Row) -> str:
        return item_of(row).fingerprint() if self._prints else ""

    def settle(self) -> None:
        """Find rows for the decisions whose id is unknown or whose row has changed."""
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
            if len({decision.outcome() for decision in found}) > 1:
                self.unmet |= dict.fromkeys(found, CONTRADICTED)
            else:
                self._moved[place] = found[0]
                self.unmet |= dict.fromkeys(found[1:], AGAIN)

    def on(self, table: str, row_id: str, seen: str) -> Decision | None:
        """The decision on a row, given its fingerprint."""
        standing = self._standing.get(row_id)
        return standing[0] if standing else self._moved.get((table, seen))

    def outdated(self, row_id: str) -> Decision | None:
        """The last decision on a previous version of the row."""
        several = [decision for decision in self._by_id.get(row_id, []) if self.unmet.get(decision) == CHANGED]
        return several[-1] if several else None

    def moved(self, decision: Decision) -> bool:
        """Whether the decision was matched to a row with another id."""
        return decision not in self.unmet and decision not in self._standing.get(decision.id, ())


def about(decision: Decision, row: Row, seen: str) -> bool:
    """Whether a decision is about the current text of its row; if it does not say what the reviewer saw, the id decides."""
    if decision.print:
        return decision.print == seen
    return decision.decision == "edit" or normalised(decision.answer) in ("", normalised(item_of(row).answer))


def applied(row: Row, decision: Decision | None) -> Row:
    """The row after an accepting decision, with the verdict and the reviewer."""
    if decision and decision.decision == "edit":
        row = edited(row, decision.answer, decision.reasoning)
    if decision and decision.decision == "swap" and isinstance(row, Preference):
        row = swapped(row)
    if not isinstance(row, Made):
        return row
    by = f" by {decision.reviewer}" if decision and decision.reviewer else ""
    return row.model_copy(update={"review": f"{VERDICTS[decision.decision]}{by}" if decision else "auto"})


def misfits(rows: Iterable[tuple[str, Row]], rulings: Rulings) -> list[str]:
    """A line for each decision with a change that the decision itself does not allow, because the change would be lost."""
    return list(
        dict.fromkeys(
            f"  {decision.where}: {fault}"
            for table, row in rows
            if (decision := rulings.on(table, row.id, rulings.print_of(row))) and (fault := misfit(row, decision))
        )
    )


def misfit(row: Row, decision: Decision) -> str | None:
    """What is wrong with a decision, compared with its row."""
    item = item_of(row)
    if decision.decision == "swap" and not isinstance(row, Preference):
        return "swap is for preference pairs only; use approve, edit or reject."
    if decision.decision == "reject" or not decision.print:
        return None
    if decision.question and normalised(decision.question) != normalised(item.question):
        return "the question was changed, but only answers can be edited; restore it, or reject the row and explain why in the note."
    texts = [(decision.answer, item.answer)] if decision.answer else []
    texts += [(decision.reasoning, item.reasoning)] if decision.reasoning is not None else []
    changed = any(normalised(given) != normalised(was) for given, was in texts)
    if changed and decision.decision != "edit":
        return f"{decision.decision}, but the answer was changed; choose edit to apply the change, or restore the answer."
    if decision.decision == "edit" and not changed:
        return "edit, but the answer is unchanged; change it, or choose approve."
    return None
