"""Scripts that run in the environment of a peer; nothing of ours is there, nor imports them."""
