"""From scored pairs to the matches of every post, and to groups."""
