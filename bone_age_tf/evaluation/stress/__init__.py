"""How far predictions move when the same radiograph looks different.

- `perturbations`: the changes, by group.
- `samples`: which radiographs, and which of a second folder show the same hand.
- `answers`: the predictions of one radiograph and its variants.
- `tables`: how far the predictions moved.
- `stress`: the command.
"""
