"""Proximal policy optimisation (Schulman et al. 2017) of a language model, as Ziegler et al. (2019) and Stiennon et al. (2020) do it.

A step samples replies to `rollout_batch_size` prompts and scores them; each token pays for its KL to the start, the last one earns the
score. A value head on the policy's own hidden states predicts the return, and with its advantages (GAE, Schulman et al. 2016) the clipped
objective is optimised, `num_ppo_epochs` times over the replies in batches. The step itself: rollouts.py.
"""

from lingyu.align.context import Given, Ready, watched
from lingyu.align.policy import BY_REWARD, Ppo, prompts_of
from lingyu.align.rewards import measures, together
from lingyu.model.load import load_model
from lingyu.train.run import arguments, optimised, resumable

CURVES = ["reward", "eval_reward", "kl", "eval_kl", "kl_weight", "value_loss", "clipped"]


def ppo(given: Given, method: Ppo) -> Ready:
    from transformers import Trainer, TrainingArguments
    from trl.trainer.utils import disable_dropout_in_model

    from lingyu.align.rollouts import Critic, with_rollouts

    held, prompts = prompts_of(given, method)
    reward_fn = together(method.rewards, measures(method.rewards, [*held, *prompts], given))
    model, start = given.policy(), load_model(given.model, given.params.max_length, given.params.precision)
    disable_dropout_in_model(model)  # the ratio of old and new likelihoods is 1 at first only without
    model.critic = Critic(model.config.get_text_config().hidden_size, method.kl.init_kl_coef)
    a_step = given.params.model_copy(update={"global_batch_size": method.rollout_batch_size, "gradient_accumulation_steps": 1})
    trainer = with_rollouts(resumable(optimised(Trainer, given.params)), given, method, start, reward_fn)(
        model=model,
        args=TrainingArguments(**{**arguments(a_step, given.place, len(prompts)), **BY_REWARD}, remove_unused_columns=False),
        train_dataset=prompts,
        eval_dataset=held,
        data_collator=list,
        processing_class=given.tokenizer,
        callbacks=watched(given, CURVES),
    )
    start.to(trainer.args.device).eval().requires_grad_(False)
    return Ready(trainer, len(prompts), CURVES)
