"""Human review of generated rows: the queue for reviewers, their decision files, and sampled batches."""
