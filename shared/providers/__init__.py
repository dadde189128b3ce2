"""Response providers: one folder each, found by the registry; code outside asks what one can do, never who it is."""
