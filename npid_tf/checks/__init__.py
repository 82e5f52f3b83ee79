"""What Keras's calls may be given, checked before anything is learned."""
