"""What leaves the house with a model: its card, its manifest, and the hubs they go to."""
