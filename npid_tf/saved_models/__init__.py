"""What is exported: SavedModels of stock ops, and their folder."""
