"""How well a checkpoint predicts texts, in bits per byte."""

from lingyu.evaluate.scorer import Metric, Scorer


def bits_per_byte(task: str, guarded: bool = False) -> Metric:
    return Metric(f"{task}_bits_per_byte", "bits", task, over="bytes", better="lower", unit="number", guarded=guarded)


SCORER = Scorer(tasks=("domain", "general"), metrics=(bits_per_byte("domain"), bits_per_byte("general", guarded=True)), whole=True)
