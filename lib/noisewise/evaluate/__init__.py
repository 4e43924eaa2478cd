"""How good a classifier is, and which epoch of its training counts."""
