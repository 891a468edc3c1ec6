"""Rows that a language model makes: one file a method, the endpoint behind them, the record of every exchange, and the checks."""
