"""Thin tasks: ids in, one call of the engine out. Their names are a wire contract."""
