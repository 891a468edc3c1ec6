"""One module a stage of dvc.yaml: what it reads, what it does, what it writes."""
