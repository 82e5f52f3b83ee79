"""Where images come from, in which order, and what happens to them on the way."""
