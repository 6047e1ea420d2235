"""Results as HTML reports: one self-contained file each, which prints on A4 and needs no network."""
