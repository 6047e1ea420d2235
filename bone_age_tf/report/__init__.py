"""Results as pages for people: one self-contained HTML file each, which prints on A4 and needs no network."""
