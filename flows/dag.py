"""The DAG as DVC knows it, and running DVC, for the flows."""

import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingyu.stage import StageError

HERE = "here"  # the default runner of a stage


@dataclass(frozen=True)
class Step:
    """A stage of dvc.yaml, or a tracked source (data.dvc)."""

    name: str
    runner: str
    upstream: tuple[str, ...]
    outputs: tuple[Path, ...]
    metrics: tuple[Path, ...]

    @property
    def stage(self) -> str:
        """The stage of an item: sft for sft@lora."""
        return self.name.partition("@")[0]


@dataclass(frozen=True)
class Job:
    """A stage that runs here (pool is empty), or stages that a runner gets together."""

    pool: str
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        first, last = self.steps[0].name, self.steps[-1].name
        return first if len(self.steps) == 1 else f"{self.pool}: {first} … {last}"

    def stale(self, changed: list[str], upstream: list[list[str]]) -> list[str]:
        """The steps that changed, or read from what was rerun before them."""
        rerun, found = {name for names in upstream for name in names}, []
        for step in self.steps:
            if step.name in changed or rerun & set(step.upstream):
                rerun.add(step.name)
                found.append(step.name)
        return found


def jobs(every: list[Step], pools: dict[str, str]) -> list[Job]:
    """The steps in an order that changes between runners as seldom as possible. pools: the work pool of a runner; others run here."""
    left, done, found = list(every), set[str](), list[Job]()
    known = {step.name for step in every}
    while left:
        pool, taken = pools.get(left[0].runner, ""), list[Step]()
        for step in left:
            if pools.get(step.runner, "") == pool and done.issuperset(known & set(step.upstream)):
                taken.append(step)
                done.add(step.name)
        found += [Job(pool, tuple(taken))] if pool else [Job("", (step,)) for step in taken]
        left = [step for step in left if step.name not in done]
    return found


def steps() -> list[Step]:
    """The whole DAG in topological order, otherwise in the order of dvc.yaml."""
    import networkx
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)  # it warns about every frozen import, including data.dvc
    with Repo() as repo:
        stages = {stage.addressing: stage for stage in repo.index.stages}
        position = {name: number for number, name in enumerate(stages)}
        graph = networkx.DiGraph()
        graph.add_nodes_from(stages)
        graph.add_edges_from((needed.addressing, stage.addressing) for stage, needed in repo.index.graph.edges)
        return [
            Step(
                name=name,
                runner=(getattr(stages[name], "meta", None) or {}).get("runner", HERE),
                upstream=tuple(sorted(graph.predecessors(name), key=position.__getitem__)),
                outputs=tuple(Path(str(out)) for out in stages[name].outs),
                metrics=tuple(Path(str(out)) for out in stages[name].outs if out.metric),
            )
            for name in networkx.lexicographical_topological_sort(graph, key=position.__getitem__)
        ]


def leading_to(target: str, every: list[Step]) -> list[Step]:
    """The steps needed for a stage, or for all items of one (sft)."""
    needed = {step.name for step in every if target in {step.name, step.stage}}
    if not needed:
        raise StageError(f"no stage named {target!r}. Known: {', '.join(step.name for step in every)} (dvc.yaml).")
    for step in reversed(every):
        if step.name in needed:
            needed.update(step.upstream)
    return [step for step in every if step.name in needed]


def imported() -> list[str]:
    """The .dvc files whose data is imported from elsewhere; DVC keeps them frozen until they are updated."""
    from dvc.repo import Repo

    with Repo() as repo:
        return sorted(stage.addressing for stage in repo.index.stages if stage.is_import)


def stale() -> dict[str, list[Any]]:
    """What changed, by stage. Stages that are up to date, or stale only because of an upstream stage, are not included."""
    from dvc.repo import Repo

    with Repo() as repo:
        return dict(repo.status())


def altered(stage: str) -> list[str]:
    """The outputs of a stage that are not what dvc.lock says, or not there. Not by `dvc status`, which says "not in cache" of an output
    before it looks at the folder: whether DVC's cache has it too is no matter to who reads it."""
    from dvc.repo import Repo

    with Repo() as repo:
        return [str(out) for each in repo.stage.collect(stage) for out in each.outs if out.workspace_status()]


def checkout() -> None:
    """Have data/ and out/ as the .dvc files and dvc.lock say, as far as DVC's cache has it."""
    subprocess.run([sys.executable, "-m", "dvc", "checkout", "--force", "--quiet"], check=False, stdin=subprocess.DEVNULL)
