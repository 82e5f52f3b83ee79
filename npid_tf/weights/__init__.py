"""Weights in and out: other projects' checkpoints."""
