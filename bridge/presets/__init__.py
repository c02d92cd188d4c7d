"""The preset language: YAML in, frozen presets out."""
