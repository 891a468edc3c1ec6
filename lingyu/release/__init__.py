"""Releasing a model: its card, its manifest, and the hubs."""
