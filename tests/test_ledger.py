"""lingyu.ledger: rows are conserved."""

import pytest

from lingyu.files import read_json
from lingyu.ledger import Ledger
from lingyu.stage import StageError


def test_a_ledger_counts_by_table_and_source_in_a_fixed_order(tmp_path):
    ledger = Ledger()
    ledger.read("labels", "b.csv", 3)
    ledger.read("documents", "a.md")
    ledger.made("labels", "b.csv", "rules", 2)
    ledger.dropped("labels", "b.csv", "too_short")
    ledger.dropped("labels", "b.csv", "duplicate", 2)
    ledger.changed("labels", "b.csv", "masked", 7)
    ledger.kept("labels", "b.csv", 2)
    ledger.kept("documents", "a.md")

    ledger.write(tmp_path / "ledger.json")

    assert read_json(tmp_path / "ledger.json") == {
        "total": {"in": 4, "made": 2, "out": 3, "dropped": {"duplicate": 2, "too_short": 1}, "changed": {"masked": 7}},
        "entries": [
            {"table": "documents", "source": "a.md", "in": 1, "made": {}, "out": 1, "dropped": {}, "changed": {}},
            {
                "table": "labels",
                "source": "b.csv",
                "in": 3,
                "made": {"rules": 2},
                "out": 2,
                "dropped": {"duplicate": 2, "too_short": 1},
                "changed": {"masked": 7},
            },
        ],
    }


def test_an_empty_ledger_adds_up(tmp_path):
    Ledger().write(tmp_path / "ledger.json")

    assert read_json(tmp_path / "ledger.json")["entries"] == []


@pytest.mark.parametrize(
    ("read", "made", "kept", "dropped", "fits"),
    [(2, 0, 1, 1, True), (2, 1, 3, 0, True), (2, 0, 1, 0, False), (2, 0, 3, 0, False), (0, 1, 0, 0, False), (1, 0, 0, 2, False)],
)
def test_rows_lost_or_doubled_fail_the_stage(tmp_path, read, made, kept, dropped, fits):
    ledger = Ledger()
    ledger.read("documents", "a.md", read)
    ledger.made("documents", "a.md", "rules", made)
    ledger.kept("documents", "a.md", kept)
    ledger.dropped("documents", "a.md", "poor", dropped)

    if not fits:
        with pytest.raises(StageError, match=rf"documents of a\.md: in {read} \+ made .* out {kept} \+ dropped"):
            ledger.write(tmp_path / "ledger.json")
    else:
        ledger.write(tmp_path / "ledger.json")

    assert (tmp_path / "ledger.json").exists() == fits


def test_a_loss_in_one_source_is_not_made_up_by_another(tmp_path):
    ledger = Ledger()
    for source, kept in {"a.md": 1, "b.md": 3}.items():
        ledger.read("documents", source, 2)
        ledger.kept("documents", source, kept)

    with pytest.raises(StageError, match=r"(?s)a\.md: in 2.*b\.md: in 2"):
        ledger.write(tmp_path / "ledger.json")
