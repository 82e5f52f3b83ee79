"""Where the rows of all images lie, and how they move."""
