"""② EXAMPLES: rows of files become examples, split without overlap."""
