"""What an embedding is worth: protocols of the field, each in a file of its own."""
