"""Judging checkpoints: asking them, rules for what is right, metrics with intervals, paired tests, the report."""
