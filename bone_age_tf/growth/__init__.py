"""Reference standards of skeletal maturation."""
