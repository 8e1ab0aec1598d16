"""PROOF: digests, and whether an adapter may be loaded and a verdict believed."""
