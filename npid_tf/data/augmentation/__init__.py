"""Random views, functions of (seed, epoch, index)."""
