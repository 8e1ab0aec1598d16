"""⑥ COMPARE: pure statistics over paired scores; numpy and scipy only."""
