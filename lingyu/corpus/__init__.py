"""The corpus: reading, normalising, judging, parting, and proving that nothing leaks."""
