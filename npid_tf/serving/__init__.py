"""What happens after training: SavedModels, the index, the server and its client."""

from npid_tf.serving.client import Client

__all__ = ["Client"]
