"""Pretraining without labels: the engine, and one file a method."""
