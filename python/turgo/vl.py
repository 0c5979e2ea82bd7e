"""Pictures for prompts. The models that look at them are not built yet; loading works (needs Pillow)."""

from __future__ import annotations

import base64
import io
import os
from typing import TYPE_CHECKING

from .errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["load_image"]

MAX_BYTES = 64 << 20


def load_image(image_url: str | os.PathLike[str]) -> Image:
    """An RGB picture from a path, an http(s) address, or a data: URL with base64."""
    from PIL import Image as images  # an extra: pip install turgo[vision]

    place = os.fspath(image_url)
    try:
        if place.startswith("data:"):
            data = base64.b64decode(place.partition("base64,")[2], validate=True)
        elif place.startswith(("http://", "https://")):
            import urllib.request

            with urllib.request.urlopen(place, timeout=30) as answer:
                data = answer.read(MAX_BYTES + 1)
        else:
            with open(place, "rb") as file:
                data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError(f"{place:.200}: expected a picture's path, http(s) address or data: URL") from None
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(f"{place:.200}: {error}") from None
    if len(data) > MAX_BYTES:
        raise InvalidArgumentError(f"{place:.200}: expected at most {MAX_BYTES >> 20} MiB")
    try:
        return images.open(io.BytesIO(data)).convert("RGB")
    except (OSError, ValueError, images.DecompressionBombError) as error:
        raise InvalidArgumentError(f"{place:.200}: expected a picture: {error}") from None
