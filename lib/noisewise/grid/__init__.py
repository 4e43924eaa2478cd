"""What to run: a grid file becomes runs, and runs become a plan. Pure, but for reading YAML; no torch."""
