"""The hand localizer: its network, its weights and the decoding of its outputs."""
