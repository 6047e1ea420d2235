"""The network that finds the hand."""
