"""The same in Milvus."""
