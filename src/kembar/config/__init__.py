"""What can be set: about fourteen options for everybody, and `[advanced]` for those who measure."""

from kembar.config.advanced import FUSION_RULES
from kembar.config.options import BY_RULES, CONFIG_FILE, HERE, MODEL_FILE, PHOTOS_ALONE, SHIPPED, Config, Vectors

__all__ = [
    "BY_RULES",
    "CONFIG_FILE",
    "FUSION_RULES",
    "HERE",
    "MODEL_FILE",
    "PHOTOS_ALONE",
    "SHIPPED",
    "Config",
    "Vectors",
]
