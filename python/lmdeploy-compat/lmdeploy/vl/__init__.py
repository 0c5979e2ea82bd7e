"""Pictures."""

from turgo.vl import load_image

__all__ = ["load_image"]
