"""Training encoders on known groups: losses, heads, optimizers, data, the loop and the export."""
