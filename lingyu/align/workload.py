"""Every way to align as the forecast counts it; and the training of any stage, from the tables of mix."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lingyu.align.best_of import BestOf
from lingyu.align.policy import Grouped, Grpo, Ppo, Rloo, Sampling
from lingyu.align.preference import Cpo, Kto, Orpo, Simpo
from lingyu.model.methods import Full
from lingyu.train.forecast import TRL, Job, Rows
from lingyu.train.jobs import blocks, sampled_rows, score_job, tokens_job


def align_job(label: str, config: Any, params: Any, rows: Rows, tokenizer: Any, scorer: Any = None) -> Job:
    """rows: the pairs, or for what samples the prompts. scorer: the config of the reward model."""
    method = params.method
    job = Job(label, config, params, Full(), "fused", rows, tokenizer, rows_a_row=2, start_again=params.start_share > 0, libraries=TRL)
    if isinstance(method, Orpo | Simpo | Cpo):
        return replace(job, loss="logits")
    if isinstance(method, Kto):
        return replace(job, rows_a_row=1, rows=replace(rows, count=2 * rows.count, tokens=2 * rows.tokens, held=2 * rows.held))
    if not isinstance(method, Sampling):
        return job
    reply = method.max_completion_length
    judged = any(reward.name == "model" for reward in method.rewards)
    times = method.num_generations if isinstance(method, Grouped) else 1
    kept = max(0, rows.count - method.dev_prompts)
    rows = Rows(
        kept * times,
        min(params.max_length, rows.widest + reply),
        (rows.tokens / max(1, rows.count) + reply) * kept * times,
        method.dev_prompts * (method.num_generations if isinstance(method, Grouped) else 1),
        exact=False,
    )
    job = replace(job, rows_a_row=1, rows=rows, replied=reply, scorer=scorer if judged else None)
    if isinstance(method, Grpo | Rloo):
        return replace(job, sampled=job.batch, reference=method.beta > 0)
    if isinstance(method, BestOf):
        return replace(job, loss="tokens", sampled=method.sampling_batch_size * method.num_generations)
    if isinstance(method, Ppo):
        rollout = method.rollout_batch_size
        return replace(job, loss="replies", sampled=rollout, rollout=rollout, passes=method.num_ppo_epochs, reference=True)
    return job


def job_of(stage: str, label: str, config: Any, params: Any, train: Path, dev: Path, tokenizer: Any, scorer: Any = None) -> Job:
    """The training of a stage, with its rows estimated from the tables of mix."""
    longest = params.max_length
    if stage == "pretrain":
        texts = sampled_rows("pretrain", train, dev, tokenizer, longest)
        more = sampled_rows("sft", train, dev, tokenizer, longest) if params.instructions else Rows(0, 0, 0, 0)
        return tokens_job(label, config, params, params.method, blocks(texts, more, longest), tokenizer)
    if stage == "sft":
        rows = sampled_rows("sft", train, dev, tokenizer, longest)
        return tokens_job(label, config, params, params.method, rows, tokenizer)
    if stage == "reward":
        return score_job(config, params, sampled_rows("preference", train, dev, tokenizer, longest), tokenizer)
    table = "prompts" if isinstance(params.method, Sampling) else "preference"
    rows = sampled_rows(table, train, dev, tokenizer, longest)
    return align_job(label, config, params, rows if table == "prompts" else replace(rows, held=max(1, rows.held)), tokenizer, scorer)
