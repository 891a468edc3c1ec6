"""What the stages and the service of lingyu share, one folder per subject."""
