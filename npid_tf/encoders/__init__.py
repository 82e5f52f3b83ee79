"""From images to embeddings: the network, and running it over a data set."""
