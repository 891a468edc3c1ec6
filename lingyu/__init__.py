"""What the stages and the service of lingyu share, one folder a subject."""

import atexit
import gc
import os

# Idle OpenMP threads that spin take the core from whoever has work: on two shared cores a training step
# was five times slower. Threads that sleep at once lose a fifth on quiet cores; a short spin first costs neither.
# Read once, when torch loads its OpenMP, hence set here, before anything of ours imports it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# Forked workers of a data loader would warn about the tokenizer's threads.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Python looks for garbage in cycles whenever there are 700 objects more: a thousand times while torch and transformers are
# imported, a fifth of a stage's start; and at its end through all that they left, two seconds and more.
gc.set_threshold(50_000)
atexit.register(gc.freeze)
