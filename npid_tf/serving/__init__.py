"""What happens after training: SavedModels, and the index of the training images."""
