"""Small pictures of the items of an index, whoever shows them."""
