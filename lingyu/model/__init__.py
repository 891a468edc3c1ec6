"""The model: chat template, tiny base, vocabulary, tuning methods, loading and merging."""
