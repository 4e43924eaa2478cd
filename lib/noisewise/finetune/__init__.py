"""Learning with noisy labels: the engine, and one file a method."""
