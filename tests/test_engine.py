"""Where work is done changes neither results nor their order."""

import sys
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from rows import document

from lingyu import files
from lingyu.files import write_tables
from lingyu.stage import StageError
from lingyu.workers import AHEAD, Workers, in_order
from stages import clean

CLEAN = clean.Params(
    engine="local", simplified=False, languages=["zh"], min_chars=1, max_repeated=0.3, near_duplicate=0.95, mask=["mobile"], ner=""
)


@pytest.mark.parametrize("items", [0, 1, 2, 40])
def test_the_results_come_in_the_order_of_the_items(items):
    with Workers("local") as workers:
        assert list(workers.mapped(partial(pow, 2), range(items))) == [2**item for item in range(items)]
        assert list(workers.mapped(partial(pow, 3), range(items))) == [3**item for item in range(items)]


def test_no_more_is_begun_than_the_workers_need():
    begun = []

    results = in_order(lambda item: begun.append(item) or item, lambda job: job, count(), workers=3)

    assert [next(results), next(results)] == [0, 1]
    assert len(begun) == 3 * AHEAD + 1


def test_an_error_in_the_work_reaches_the_caller():
    with pytest.raises(ZeroDivisionError), Workers("local") as workers:
        list(workers.mapped(partial(divmod, 1), [1, 0, 2]))


@pytest.mark.slow
def test_a_ray_cluster_of_two_nodes_cleans_to_the_same_bytes(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(files, "BATCH", 8)
    words = Path(__file__).parent.parent / "lingyu/text/word_lists.yaml"
    texts = [f"第{number}架无人机起飞前应当检查电池。" for number in range(30)]
    write_tables(tmp_path / "in", {"documents": [document(number, text) for number, text in enumerate(texts + texts[:9])]})
    cluster = Cluster()
    try:
        for node in ({"include_dashboard": False}, {}):
            added(cluster, num_cpus=1, object_store_memory=100 << 20, **node)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        for engine in ("local", "ray"):
            clean.run(
                CLEAN.model_copy(update={"engine": engine}),
                tmp_path / "in",
                words,
                tmp_path / "x",
                tmp_path / engine,
            )
    finally:
        cluster.shutdown()

    written = sorted(path.relative_to(tmp_path / "local") for path in (tmp_path / "local").rglob("*.*"))
    assert Path("rules.json") in written
    assert len(written) == 9
    assert [(tmp_path / "ray" / path).read_bytes() for path in written] == [(tmp_path / "local" / path).read_bytes() for path in written]


def added(cluster, tries=4, **node):
    """Ray gives a node thirty seconds to start, fewer than a busy machine takes."""
    for left in reversed(range(tries)):
        try:
            cluster.add_node(**node)
            return
        except Exception as error:
            if not left or "timed out during startup" not in str(error):
                raise


def test_ray_without_a_cluster_at_its_address_says_so(monkeypatch):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")

    with pytest.raises(StageError, match=r"RAY_ADDRESS=127.0.0.1:1\b.*engine: local"), Workers("ray") as workers:
        list(workers.mapped(partial(pow, 2), [1, 2]))


def test_ray_that_is_not_installed_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(StageError, match=r"pip install 'lingyu\[ray\]'"), Workers("ray") as workers:
        list(workers.mapped(partial(pow, 2), [1, 2]))
