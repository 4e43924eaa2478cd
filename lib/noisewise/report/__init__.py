"""What a grid found: results.csv, tables, figures, and a page that opens with the answer in words."""
