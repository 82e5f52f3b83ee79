"""Data sets that a dependency ships: they are always there."""
