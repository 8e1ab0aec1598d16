"""ARTEFACTS: run folders and the baseline registry on disk."""
