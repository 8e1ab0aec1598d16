"""Functions on texts that may be hostile, each in a process of its own with limits of computing time and memory."""
