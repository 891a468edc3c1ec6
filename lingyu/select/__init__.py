"""The evaluation report, and the display names of metrics."""
