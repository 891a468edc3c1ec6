"""The base model: downloaded from a hub at a pinned revision, or a tiny one built here."""
