"""Learning from labels: the pair classifier from groups or labelled pairs, and the cuts of the rules."""
