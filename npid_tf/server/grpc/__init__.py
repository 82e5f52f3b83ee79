"""The server's gRPC side."""
