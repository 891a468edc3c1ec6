"""Expectations over the tables: a suite a table for people to read and extend, what its words mean, and the pages that show what holds."""
