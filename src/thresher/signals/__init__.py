"""Measurements of every row. One file each; the file name is the signal's name."""
