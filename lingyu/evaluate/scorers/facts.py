"""Answers to questions about facts: the right value, no number or negation wrong."""

from lingyu.evaluate.scorer import Metric, Scorer, share
from lingyu.evaluate.scorers.stated import stated

SCORER = Scorer(
    tasks=("fact",),
    metrics=(
        share("fact_exact", "fact", guarded=True),
        share("fact_exact_taught", "fact", "taught"),
        share("fact_exact_documents", "fact", "documents"),
        Metric("fact_char_f1", "char_f1", "fact"),
        Metric("fact_chrf", "chrf", "fact"),
    ),
    score=stated,
    whole=True,
)
