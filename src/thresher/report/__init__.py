"""One self-contained page of a run or a selection; it reads and formats, and computes nothing."""
