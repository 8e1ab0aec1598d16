"""④ ANSWER: everything that can answer an example, one kind per file."""
