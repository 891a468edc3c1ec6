"""What the flow `retrain` needs besides DVC and Prefect: a lock, the tree as it was, the comparison with the champion."""
