"""Training of the hand localizer."""
