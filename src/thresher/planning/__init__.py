"""What the results say: frontier, curves, break-even."""
