"""Train, dev and test: what stays together, what stays held out, and the leak gate."""
