"""Expectations over the tables: the suites beside this file, how a table is laid out for them, and the pages that show how they fared."""
