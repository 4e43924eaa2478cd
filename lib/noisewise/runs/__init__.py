"""What a run is: its frozen config, its key, its folder, its state and its result. Files are the truth."""
