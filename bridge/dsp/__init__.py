"""Signal processing: arrays in, numbers or arrays out."""
