"""Numbers several signals need from a model."""
