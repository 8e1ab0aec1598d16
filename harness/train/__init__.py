"""③ CANDIDATE: one recipe per file; trains an adapter and records how it went."""
