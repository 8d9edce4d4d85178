"""Encoders: what turns a title or a photo into a vector. One module per family."""
