"""VST3 and Audio Unit plugins: where they lie, and how they are loaded and run."""
