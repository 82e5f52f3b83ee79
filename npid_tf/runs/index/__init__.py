"""Changes of an index, as `npid index` makes them."""
