"""From staged files to the published stem set: names, locations, manifest, transaction."""
