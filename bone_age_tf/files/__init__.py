"""Files of any kind: found, read, written whole."""
