"""Publication of stem sets: output names, locations, manifest, transaction."""
