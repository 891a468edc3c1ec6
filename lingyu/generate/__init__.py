"""Training and test rows made from records: by rules and by a language model."""
