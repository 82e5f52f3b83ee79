"""Checks of arguments and of batches, used by every room above."""
