"""The training mixture: weights, caps, repeats, replay, and splitting of long documents."""
