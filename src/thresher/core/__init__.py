"""The nouns everything else is built from; numpy and Arrow only."""
