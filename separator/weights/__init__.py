"""Where weights come from: the catalog, the cache, and the only readers of checkpoints."""
