"""Presets: YAML files read into validated, immutable models."""
