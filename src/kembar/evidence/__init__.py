"""What speaks for and against a pair: views find candidates, scorers compare them, rules fuse and blend them."""
