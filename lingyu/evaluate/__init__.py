"""Asking checkpoints, the rules for what is right, metrics with intervals."""
