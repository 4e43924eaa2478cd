"""How good classifiers and encoders are, which epoch counts, how hard a dataset is, and which classes look alike."""
