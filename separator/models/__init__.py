"""The networks, one module per paper; each works segment by segment."""
