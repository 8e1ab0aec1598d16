"""⑦ DECIDE: one pure function per check kind, and the verdict."""
