"""Expectations over the tables: one suite per table, and the report of what holds."""
