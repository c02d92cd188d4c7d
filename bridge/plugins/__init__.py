"""VST3 and Audio Unit plugins: discovery, loading and processing."""
