"""The owner of the way from pixels to the prepared radiograph: the same graph everywhere."""
