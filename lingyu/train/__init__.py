"""Training: rows to token ids, one trainer for all stages, checkpoints that survive a kill, curves."""
