"""Learning from labels: the pair classifier from groups or judged pairs, and the cuts of the rules."""
