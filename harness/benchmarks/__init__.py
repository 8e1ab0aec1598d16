"""④b REGRESSION: general ability, question by question, through lm-eval's task definitions."""
