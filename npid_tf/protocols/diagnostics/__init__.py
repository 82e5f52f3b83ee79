"""A page on a run: near duplicates, confusions, health."""
