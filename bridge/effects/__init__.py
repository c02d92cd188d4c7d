"""Effects of a chain: what an effect is, each of them, and the chain they make."""
