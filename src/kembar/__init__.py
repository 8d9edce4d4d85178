"""kembar finds the posts of a marketplace that sell the same product."""
