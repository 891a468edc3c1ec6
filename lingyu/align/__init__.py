"""Preference alignment: rewards, rollouts, and one module per family of methods."""
