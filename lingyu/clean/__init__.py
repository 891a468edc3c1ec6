"""Cleaning: quality rules, personal data, duplicates; every dropped row has a reason."""
