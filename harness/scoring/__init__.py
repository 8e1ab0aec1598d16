"""⑤ JUDGE ONE ANSWER: each scorer turns one answer into a score from 0 to 1, or says why there is none."""
