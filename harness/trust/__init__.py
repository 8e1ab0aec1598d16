"""PROOF: digests, and whether a verdict may be believed."""
