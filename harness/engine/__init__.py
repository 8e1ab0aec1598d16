"""MODEL PLUMBING: loading, chat template, scoring and generation on torch."""
