"""Rows made by rules: one module per method, records in, rows with their provenance out."""
