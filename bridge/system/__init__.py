"""Operating system services: disk, processes, endpoints, spelling of names."""
