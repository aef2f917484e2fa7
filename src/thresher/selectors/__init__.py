"""Ways to choose: arrays in, an order out. One file each; the file name is the selector's name."""
