"""Files to a Pool, and back out."""
