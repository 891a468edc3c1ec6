"""PPO: its arithmetic on numbers small enough to check, and that it raises a reward that is known."""

import pytest
import torch
from training import ASKED, PPO, SFT, TRAINING, question, write_mix

from bench.ppo import compared
from lingyu.align.policy import Ppo
from lingyu.align.rollouts import Critic, Rollout, advantages, policy_loss, value_loss, whitened
from lingyu.files import write_table
from lingyu.records import Question
from stages import align, sft

LEARNT = torch.tensor([[1, 1, 1], [1, 0, 0]])


def rollout(**columns):
    empty = dict.fromkeys(Rollout._fields, torch.zeros(2, 3))
    return Rollout(**{**empty, "learnt": LEARNT, **columns})


def test_without_discount_and_with_the_whole_trace_an_advantage_is_the_return_less_the_value():
    rewards, values = torch.tensor([[0.0, 1.0, 2.0], [5.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 1.0], [2.0, 0.0, 0.0]])

    ahead = advantages(rewards, values, LEARNT, gamma=1.0, gae_lambda=1.0)

    assert torch.equal(ahead, torch.tensor([[2.0, 2.0, 1.0], [3.0, 0.0, 0.0]]))


def test_without_a_trace_an_advantage_is_the_surprise_of_one_step():
    rewards, values = torch.tensor([[0.0, 1.0, 2.0], [5.0, 0.0, 0.0]]), torch.tensor([[1.0, 2.0, 4.0], [2.0, 9.0, 9.0]])

    ahead = advantages(rewards, values, LEARNT, gamma=0.5, gae_lambda=0.0)

    assert torch.equal(ahead, torch.tensor([[0.0 + 1.0 - 1.0, 1.0 + 2.0 - 2.0, 2.0 - 4.0], [3.0, 0.0, 0.0]]))


def test_whitened_advantages_have_mean_0_and_deviation_1_over_the_tokens_that_count():
    white = whitened(torch.tensor([[1.0, 2.0, 3.0], [6.0, 100.0, 100.0]]), LEARNT)

    counted = white[LEARNT.bool()]
    assert counted.mean() == pytest.approx(0, abs=1e-6)
    assert counted.std(correction=0) == pytest.approx(1, abs=1e-6)
    assert torch.equal(white[1, 1:], torch.zeros(2))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "held_back"),
    [
        (1.0, 2.0, -2.0, 0.0),
        (1.1, 2.0, -2.2, 0.0),
        (1.5, 2.0, -2.4, 1.0),
        (0.5, 2.0, -1.0, 0.0),
        (0.5, -2.0, 1.6, 1.0),
        (1.5, -2.0, 3.0, 0.0),
    ],
)
def test_a_likelihood_that_moved_far_enough_pays_no_more(ratio, advantage, loss, held_back):
    now = torch.full((2, 3), ratio).log()

    found, clipped = policy_loss(now, rollout(advantages=torch.full((2, 3), advantage)), clip=0.2)

    assert (found.item(), clipped.item()) == (pytest.approx(loss), held_back)


def test_a_value_that_moved_too_far_is_judged_where_it_may_be():
    returns = torch.full((2, 3), 1.0)

    assert value_loss(torch.full((2, 3), 1.0), rollout(returns=returns), clip=0.2).item() == pytest.approx((1 - 0.2) ** 2 / 2)
    assert value_loss(torch.full((2, 3), 0.1), rollout(returns=returns), clip=0.2).item() == pytest.approx((1 - 0.1) ** 2 / 2)


def test_scores_are_normalised_by_all_that_came_so_far():
    critic, first, second = Critic(4, 0.1), torch.tensor([1.0, 3.0, 8.0]), torch.tensor([2.0, 6.0])

    critic.normalised(first)
    found = critic.normalised(second)

    together = torch.cat([first, second])
    assert torch.allclose(found, (second - together.mean()) / together.std(correction=0), atol=1e-5)


def test_scores_that_are_all_alike_say_nothing():
    assert torch.equal(Critic(4, 0.1).normalised(torch.full((3,), 7.0)), torch.zeros(3))


@pytest.mark.parametrize(("kl", "weight"), [(2.0, 0.1), (20.0, 0.1 * 1.1), (0.0, 0.1 * 0.9), (2.2, 0.1 * 1.05)])
def test_the_weight_of_the_kl_goes_where_the_target_is(kl, weight):
    critic = Critic(4, 0.1)

    critic.adapt(kl, target=2.0, horizon=100, replies=50)

    assert critic.kl_weight.item() == pytest.approx(weight)


def test_all_that_ppo_remembers_is_in_the_state_of_the_model():
    critic, other = Critic(4, 0.1), Critic(4, 0.5)
    critic.normalised(torch.tensor([1.0, 3.0, 8.0]))
    critic.adapt(5.0, target=2.0, horizon=10, replies=5)

    other.load_state_dict(critic.state_dict())

    assert torch.equal(critic.normalised(torch.tensor([4.0])), other.normalised(torch.tensor([4.0])))
    assert critic.kl_weight == other.kl_weight
    assert set(critic.state_dict()) == {"score.weight", "score.bias", "kl_weight", "count", "mean", "square"}


@pytest.mark.slow
def test_ppo_raises_a_known_reward_by_a_deviation_and_beats_its_start_in_a_paired_test(tiny_model, tmp_path):
    mix = tmp_path / "mix"
    write_mix(mix)
    write_table(mix / "train" / "prompts.parquet", [question(i, text) for i, (text, _) in enumerate(ASKED * 8)], Question)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model").symlink_to(tiny_model)
    tuned = sft.Params(**{**TRAINING, **SFT, "num_train_epochs": 30, "evaluations": 1}, start="base", method={"name": "full"})
    sft.run(tuned, tmp_path, mix / "train", mix / "dev", work=tmp_path / "work", out=tmp_path / "sft")

    rewards = [{"name": "length", "weight": 1.0, "characters": 2}]
    kl = {"init_kl_coef": 0.01, "target": 6.0, "horizon": 200}
    method = Ppo(
        **{
            **PPO,
            "rewards": rewards,
            "dev_prompts": 16,
            "max_completion_length": 12,
            "rollout_batch_size": 16,
            "num_ppo_epochs": 4,
            "kl": kl,
        }
    )
    params = align.Params(
        **{**TRAINING, "num_train_epochs": 30, "global_batch_size": 8, "learning_rate": 3.0e-3}, start="sft", start_share=0.0, method=method
    )
    align.run(params, tmp_path, tmp_path / "none", mix / "train", mix / "dev", work=tmp_path / "work" / "ppo", out=tmp_path / "ppo")

    found = compared(params, method, tmp_path / "sft" / "model", tmp_path / "ppo" / "model", mix / "train")
    assert found["gain"] >= 1
    assert 0 < found["kl"] <= 10
    assert found["chance"] < 0.01
