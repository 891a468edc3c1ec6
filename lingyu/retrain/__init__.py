"""What the flow `retrain` needs besides DVC and Prefect: a lock, the folder as it was, commits, the comparison with the champion."""
