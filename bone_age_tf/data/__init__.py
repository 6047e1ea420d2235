"""Data sets of prepared radiographs: labels, records, splits, batches."""
