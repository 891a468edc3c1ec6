"""Exports the training data in the formats of other trainers."""
