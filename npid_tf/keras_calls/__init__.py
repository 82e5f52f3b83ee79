"""What Keras's calls are given: the parts of a model, labels, batches, first steps."""
