"""The report on all checkpoints, and the names of metrics."""
