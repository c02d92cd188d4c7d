"""Model weights: the catalog, the cache with its downloads, and the readers of checkpoints."""
