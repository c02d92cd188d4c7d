"""One file per paper. A model is a torch module that also works segment by segment."""
