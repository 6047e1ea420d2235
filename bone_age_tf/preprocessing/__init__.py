"""Preprocessing: from the bytes of a file to the prepared radiograph, the same graph everywhere."""
