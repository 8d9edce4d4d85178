"""A labelled shop of any size: drawn product photos and the titles sellers might give them."""

from kembar.synthesis.shop import Drawing, Shop, group_sizes, synthesize, write_shop

__all__ = ["Drawing", "Shop", "group_sizes", "synthesize", "write_shop"]
