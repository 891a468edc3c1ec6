"""Questions that came with the corpus, general ones among them."""

from lingyu.evaluate.scorer import Metric, Scorer, share
from lingyu.evaluate.scorers.stated import stated

SCORER = Scorer(
    tasks=("chat",),
    metrics=(share("chat_exact", "chat"), Metric("chat_char_f1", "char_f1", "chat", guarded=True)),
    score=stated,
    whole=True,
)
