"""Rows made by a language model: one module per method, the client, the response cache, the checks."""
