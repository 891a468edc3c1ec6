"""People's decisions on made rows: the queue that goes out, the files that come back, the batches that a sample judges."""
