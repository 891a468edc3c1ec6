"""Splitting into train, dev and test: groups, frozen held-out rows, and the leak gate."""
