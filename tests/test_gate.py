"""A challenger is promoted where it is better and lost nothing: rules on few items, and error rates by simulation."""

import json

import numpy as np
import pytest
from predictions import prediction

from lingyu.evaluate import metrics
from lingyu.select import gate
from lingyu.select.gate import Compared, Rules

RULES = Rules(primary="fact_exact", margins={"cite_exact": 0.03, "general_bits_per_byte": 0.1})


def rows(facts: float, cites: float, bits: float = 1.0, items: int = 200) -> list:
    """Predictions with these shares right, the same items right first."""
    made = [prediction("fact", id=f"f{i}", group=f"f{i}", exact=i < facts * items) for i in range(items)]
    made += [prediction("cite", id=f"c{i}", group=f"c{i}", exact=i < cites * items) for i in range(items)]
    return made + [prediction("general", id=f"g{i}", group=f"g{i}", bits=bits * (90 + i), bytes=100) for i in range(20)]


@pytest.mark.parametrize(
    ("challenger", "outcome", "lost", "unshown"),
    [
        (rows(0.6, 0.8), "promoted", [], []),
        (rows(0.52, 0.8), "no difference", [], []),
        (rows(0.4, 0.8), "worse", [], []),
        (rows(0.6, 0.7), "lost", ["cite_exact"], []),
        (rows(0.6, 0.78), "not shown", [], ["cite_exact"]),
        (rows(0.6, 0.99), "promoted", [], []),
        (rows(0.6, 0.8, bits=1.2), "lost", ["general_bits_per_byte"], []),
        (rows(0.6, 0.8, bits=1.05), "promoted", [], []),
    ],
)
def test_a_challenger_is_promoted_only_if_it_gains_and_loses_nothing(challenger, outcome, lost, unshown):
    found = gate.verdict(gate.compare(rows(0.5, 0.8), challenger, RULES, 200), RULES)

    assert (found.outcome, list(found.lost), list(found.unshown)) == (outcome, lost, unshown)


def test_too_few_items_bar_nobody_unless_the_loss_is_plain():
    few = Rules("fact_exact", {"cite_exact": 0.01})

    unchanged = gate.verdict(gate.compare(rows(0.5, 0.8), rows(0.6, 0.8), few, 50), few)
    fallen = gate.verdict(gate.compare(rows(0.5, 0.8), rows(0.6, 0.6), few, 50), few)

    assert (unchanged.outcome, list(unchanged.few)) == ("promoted", ["cite_exact"])
    assert (fallen.outcome, list(fallen.lost)) == ("lost", ["cite_exact"])


def test_weighted_tasks_are_traded_against_each_other_and_the_rest_is_guarded():
    weighted = Rules(gate.SCORE, {"fact_exact": 0.03, "cite_exact": 0.03}, {"fact_exact": 3, "cite_exact": 1})
    light = Rules(gate.SCORE, {"fact_exact": 0.03, "cite_exact": 0.03}, {"fact_exact": 1, "cite_exact": 3})
    before, after = rows(0.5, 0.8), rows(0.6, 0.6)

    heavy_facts, heavy_cites = (gate.compare(before, after, rules, 200) for rules in (weighted, light))

    assert heavy_facts.primary["difference"] == pytest.approx(0.1 * 3 / 4 - 0.2 / 4)
    assert (heavy_facts.fell, heavy_cites.fell, dict(heavy_facts.guarded)) == (False, True, {})
    assert gate.verdict(heavy_cites, light).outcome == "worse"


def test_the_promoted_compete_with_each_other_the_simplest_first():
    made = {"a": rows(0.3, 0.8), "b": rows(0.5, 0.8), "c": rows(0.51, 0.8), "d": rows(0.7, 0.8), "e": rows(0.9, 0.5)}

    winner, rounds = gate.tournament(list(made), lambda one, other: gate.compare(made[one], made[other], RULES, 100), RULES)

    assert winner == "d"
    assert [(each.incumbent, list(each.verdicts)) for each in rounds] == [("a", ["b", "c", "d", "e"]), ("b", ["c", "d"])]
    assert rounds[0].verdicts["e"].outcome == "lost"
    assert json.loads(json.dumps(gate.as_json(rounds)))[1]["challengers"][0]["outcome"] == "no difference"


def test_one_checkpoint_alone_wins():
    assert gate.tournament(["a"], lambda *_: pytest.fail("nothing to compare"), RULES) == ("a", [])


def test_margins_and_weights_are_those_of_the_metrics_that_were_measured():
    measured = ["fact_exact", "fact_char_f1", "classify_accuracy", "classify_macro_f1", "reason_exact", "reason_format"]

    assert gate.margins_of(measured, 0.03, {"reason_format": 0.1, "cite_exact": 0.2}) == {
        "fact_exact": 0.03,
        "classify_macro_f1": 0.03,
        "reason_exact": 0.03,
        "reason_format": 0.1,
    }
    assert gate.weights_of(measured, {"reason": 2, "cite": 1, "classify": 0}) == {"reason_exact": 2}


# Simulations: answers right or wrong of 1,000 items a metric. The simplest is right in 70 %; the others answer as it does but for a share
# of all items that they fix and one that they break, which is how checkpoints of one run differ.
ITEMS, GUARDS, SIMULATED = 1000, 3, 1000
SHARE = metrics.named("fact_exact")
SAME, GAIN, LOSS = (0.02, 0.02), (0.05, 0.02), (0.02, 0.05)  # (fixed, broken)


def answered(random, checkpoints) -> list:
    """Of each checkpoint the answers by metric: the simplest, and the others with (fixed, broken) by metric."""
    simplest = [(random.random(ITEMS) < 0.7).astype(float) for _ in range(1 + GUARDS)]
    return [simplest, *([moved(random, *pair) for pair in zip(simplest, each, strict=True)] for each in checkpoints)]


def moved(random, answers, moves):
    fixed, broken = moves
    flips = random.random(ITEMS) < np.where(answers == 1, broken / 0.7, fixed / 0.3)
    return np.where(flips, 1 - answers, answers)


def compared(one, other) -> Compared:
    ones = np.ones(ITEMS)
    moved = [metrics.moved_sums(SHARE, (a, ones, b, ones), ITEMS, 0, 0) for a, b in zip(one, other, strict=True)]
    guarded = {f"guard {i}": gate.guard(SHARE, each, 0.03, 0.05) for i, each in enumerate(moved[1:])}
    return Compared(moved[0].change, moved[0].change["difference"] < 0, guarded)


def winners(seed: int, *checkpoints) -> np.ndarray:
    """The place of the winner in each simulated tournament."""
    random, found = np.random.default_rng(seed), []
    for _ in range(SIMULATED):
        made = answered(random, checkpoints)
        found.append(gate.tournament(range(len(made)), lambda a, b, made=made: compared(made[a], made[b]), RULES)[0])
    return np.array(found)


def test_equal_checkpoints_get_another_winner_than_the_simplest_in_one_of_twenty_tournaments_at_most():
    assert (winners(1, *[[SAME] * (1 + GUARDS)] * 4) != 0).mean() <= 0.05


@pytest.mark.parametrize("others", [0, 3])
def test_a_gain_of_three_points_is_found_in_four_of_five(others):
    assert (winners(2, [GAIN] + [SAME] * GUARDS, *[[SAME] * (1 + GUARDS)] * others) == 1).mean() >= 0.8


def test_who_lost_three_points_of_a_guarded_task_is_promoted_in_one_of_twenty_at_most():
    assert (winners(3, [(0.15, 0.02), LOSS, SAME, SAME]) == 1).mean() <= 0.05
