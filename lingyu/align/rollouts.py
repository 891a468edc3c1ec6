"""A trainer whose step is one of PPO: sample replies, judge them, and learn from them several times over.

The step is the whole of it, so that a checkpoint never falls between the passes and holds all there is: the value head, the running
mean and deviation of the scores and the weight of the KL are part of the model's weights.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from lingyu.align.context import Given
from lingyu.align.policy import Ppo, sampled
from lingyu.align.rewards import Measure, Prompt
from lingyu.stage import StageError
from lingyu.train.kernels import PLAIN, Scores, scores_of


class Rollout(NamedTuple):
    """Rows of replies: token ids and mask of the whole, and a column a token of the reply for the rest."""

    ids: Any
    mask: Any
    learnt: Any
    logprobs: Any
    values: Any
    advantages: Any
    returns: Any

    def rows(self, some: Any) -> "Rollout":
        return Rollout(*(column[some] for column in self))


class Critic(torch.nn.Module):
    """The value head, and what else PPO must remember from step to step."""

    kl_weight: torch.Tensor
    count: torch.Tensor
    mean: torch.Tensor
    square: torch.Tensor

    def __init__(self, hidden: int, kl_weight: float) -> None:
        super().__init__()
        self.score = torch.nn.Linear(hidden, 1)
        torch.nn.init.zeros_(self.score.weight)
        torch.nn.init.zeros_(self.score.bias)
        for name, value in {"kl_weight": kl_weight, "count": 0.0, "mean": 0.0, "square": 0.0}.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def forward(self, hidden: Any) -> Any:
        return self.score(hidden.to(self.score.weight.dtype))[..., 0].float()

    def normalised(self, scores: Any) -> Any:
        """The scores by the mean and deviation of all so far, these among them (Welford, in batches)."""
        more = scores.double()
        total, apart = self.count + len(more), more.mean() - self.mean
        self.square += ((more - more.mean()) ** 2).sum() + apart**2 * self.count * len(more) / total
        self.mean += apart * len(more) / total
        self.count.copy_(total)
        deviation = (self.square / self.count).sqrt()
        return ((more - self.mean) / (deviation + 1e-6)).float()

    def adapt(self, kl: float, target: float, horizon: int, replies: int) -> None:
        """Ziegler's controller: a fifth of the error at most, in proportion to the replies seen."""
        self.kl_weight *= 1 + min(0.2, max(-0.2, kl / target - 1)) * replies / horizon


def with_rollouts(trainer: Any, given: Given, method: Ppo, start: Any, reward_fn: Measure) -> Any:
    """The class of trainer, a step of which is a rollout and all that is learnt from it, and which is evaluated by reward."""
    params = given.params
    known = scores_of(start)
    if known is None:
        raise StageError(
            f"method ppo does not know how a model of type {start.config.model_type} makes the scores of its vocabulary. Take grpo or rloo."
        )
    way: Scores = known

    class Rollouts(trainer):
        control: Any
        noted: defaultdict[str, list[float]]

        def training_step(self, model: Any, inputs: list[Prompt], num_items_in_batch: Any = None) -> Any:
            rollout = self.rollout(inputs)
            orders = [torch.randperm(len(inputs), device=rollout.ids.device) for _ in range(method.num_ppo_epochs)]
            parts = [part for order in orders for part in order.split(params.rows_at_once)]
            total = torch.zeros((), device=rollout.ids.device)
            model.train()
            for number, part in enumerate(parts, start=1):
                loss = self.loss_of(rollout.rows(part))
                self.accelerator.backward(loss / params.gradient_accumulation_steps)
                total += loss.detach() / len(parts)
                if number % params.gradient_accumulation_steps == 0 and number < len(parts):  # the trainer takes the last one
                    self.accelerator.clip_grad_norm_(model.parameters(), params.max_grad_norm)
                    self.optimizer.step()
                    self.optimizer.zero_grad()
            return total

        def rollout(self, prompts: Sequence[Prompt]) -> Rollout:
            replies, learnt, scores, now, then, values = self.judged(prompts)
            critic = self.model.critic
            rewards = float(critic.kl_weight) * (then - now)
            rewards[torch.arange(len(prompts)), learnt.sum(dim=1) - 1] += critic.normalised(scores) if method.normalize_rewards else scores
            ahead = advantages(rewards * learnt, values, learnt, method.gamma, method.gae_lambda)
            kl = float((now - then).sum(dim=1).mean())
            self.note(reward=float(scores.mean()), kl=kl, kl_weight=float(critic.kl_weight))
            if method.kl.target is not None:
                critic.adapt(kl, method.kl.target, method.kl.horizon, len(prompts))
            return Rollout(replies.ids, replies.mask, learnt, now, values, whitened(ahead, learnt), ahead + values)

        def judged(self, prompts: Sequence[Prompt]) -> tuple[Any, ...]:
            """Replies, which of their tokens count, scores, and a token's likelihood now and at the start, and value."""
            self.model.eval()
            texts = [prompt.text for prompt in prompts]
            replies = sampled(self.model, given.tokenizer, texts, method.max_completion_length, method.temperature)
            scores = torch.tensor(reward_fn(prompts, replies.texts), device=replies.ids.device)
            learnt = replies.mask[:, -replies.width :]
            with torch.no_grad():
                rows = range(0, len(prompts), params.rows_at_once)
                parts = [(replies.ids[row : row + params.rows_at_once], replies.mask[row : row + params.rows_at_once]) for row in rows]
                now = [self.logprobs(self.model, *part, replies.width) for part in parts]
                then = [self.logprobs(start, *part, replies.width) for part in parts]
                values = [self.model.critic(hidden) for _, hidden in now]
            columns = ([logprob for logprob, _ in now], [logprob for logprob, _ in then], values)
            return replies, learnt, scores, *(torch.cat(column) * learnt for column in columns)

        def logprobs(self, causal: Any, ids: Any, mask: Any, width: int) -> tuple[Any, Any]:
            with self.compute_loss_context_manager():  # autocast, where precision is not fp32
                return logprobs_of(causal, ids, mask, width, method.temperature, way)

        def loss_of(self, rollout: Rollout) -> Any:
            now, hidden = self.logprobs(self.model, rollout.ids, rollout.mask, rollout.learnt.shape[1])
            policy, clipped = policy_loss(now, rollout, method.cliprange)
            value = value_loss(self.model.critic(hidden), rollout, method.cliprange_value)
            self.note(value_loss=value.item(), clipped=clipped.item())
            return policy + method.vf_coef * value

        def evaluate(self, *words: Any, **names: Any) -> dict[str, float]:
            held, scores, kl = self.eval_dataset, [], []
            with torch.random.fork_rng():
                torch.manual_seed(params.seed)  # the same draws every time: what changes is the policy
                for first in range(0, len(held), method.rollout_batch_size):
                    _, _, rewards, now, then, _ = self.judged(held[first : first + method.rollout_batch_size])
                    scores += rewards.tolist()
                    kl += (now - then).sum(dim=1).tolist()
            measured = {"eval_reward": sum(scores) / len(held), "eval_kl": sum(kl) / len(held)}
            self.log(measured)
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, measured)
            return measured

        def note(self, **values: float) -> None:
            for name, value in values.items():
                self.noted[name].append(value)

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            if "loss" in logs:
                logs |= {name: sum(values) / len(values) for name, values in self.noted.items()}
                self.noted.clear()
            super().log(logs, start_time)

        def train(self, *words: Any, **names: Any) -> Any:
            self.noted = defaultdict[str, list[float]](list)
            result = super().train(*words, **names)
            del self.model.critic  # what is served has none
            return result

        def floating_point_ops(self, inputs: Any) -> int:
            return 0  # its estimate wants token ids

    return Rollouts


def logprobs_of(causal: Any, ids: Any, mask: Any, width: int, temperature: float, way: Scores = PLAIN) -> tuple[Any, Any]:
    """Of the last `width` tokens, the log-likelihood at this temperature and the hidden state that it was told from."""
    hidden = getattr(causal, causal.base_model_prefix)(
        input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0), use_cache=False
    ).last_hidden_state[:, -width - 1 : -1]
    logits = way.of(causal.get_output_embeddings()(hidden)) / temperature
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, -width:].flatten(), reduction="none")
    return -losses.view(len(ids), width), hidden


def advantages(rewards: Any, values: Any, learnt: Any, gamma: float, gae_lambda: float) -> Any:
    """By how much each token does better than the value foretold: GAE, from the last token to the first."""
    ahead, later = torch.zeros_like(values), torch.zeros(len(values), device=values.device)
    following = torch.zeros_like(later)
    for place in reversed(range(values.shape[1])):
        surprise = rewards[:, place] + gamma * following - values[:, place]
        later = (surprise + gamma * gae_lambda * later) * learnt[:, place]
        following = values[:, place] * learnt[:, place]
        ahead[:, place] = later
    return ahead


def whitened(values: Any, learnt: Any) -> Any:
    """With mean 0 and deviation 1 over the tokens that count."""
    mean = averaged(values, learnt)
    return (values - mean) * (averaged((values - mean) ** 2, learnt) + 1e-8).rsqrt() * learnt


def averaged(values: Any, learnt: Any) -> Any:
    return (values * learnt).sum() / learnt.sum()


def policy_loss(logprobs: Any, rollout: Rollout, clip: float) -> tuple[Any, Any]:
    """The clipped objective, to be lowered, and the share of tokens that it held back."""
    ratio = (logprobs - rollout.logprobs).exp()
    free, bounded = -rollout.advantages * ratio, -rollout.advantages * ratio.clamp(1 - clip, 1 + clip)
    return averaged(torch.maximum(free, bounded), rollout.learnt), averaged((bounded > free).float(), rollout.learnt)


def value_loss(values: Any, rollout: Rollout, clip: float) -> Any:
    """Half the squared error, of the value or of what it may have moved to, whichever is worse."""
    bounded = rollout.values + (values - rollout.values).clamp(-clip, clip)
    error = torch.maximum((values - rollout.returns) ** 2, (bounded - rollout.returns) ** 2)
    return averaged(error, rollout.learnt) / 2
