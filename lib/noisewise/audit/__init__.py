"""Which training labels are probably wrong, and how many are."""
