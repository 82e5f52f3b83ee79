"""Classifiers of frozen features."""
