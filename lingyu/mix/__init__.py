"""What goes into training how often: weights, caps, repeats, replay, and the parting of what is too long."""
