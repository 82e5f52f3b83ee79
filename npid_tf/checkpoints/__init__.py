"""A run as it is saved and restored."""
