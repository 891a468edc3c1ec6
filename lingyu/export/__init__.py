"""The training data alone, in the forms of other trainers."""
