"""From stems to what is published: presets, effects, aligned rendering, levels."""
