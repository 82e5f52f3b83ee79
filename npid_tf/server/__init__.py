"""The server: models, index and page over REST and gRPC."""
