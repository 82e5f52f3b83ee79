"""What becomes of transparency, and of values that are no bytes.

- Transparent pixels are composed on a background, white if none is named.
- Values of more than 8 bits become 0..255 by `intensity`, one rule for all channels of
  an image together. Images of 8 bits stay as they are.
  - `full`: the range of their type. 16 bits are divided by 257. Floats are 0..1, or
    0..255 if one is above 1; integers of 32 bits are 0..65535. What lies outside is
    refused: no rule could tell black from white.
  - `minmax`: the darkest value of the image is 0, the brightest 255.
  - `percentile`: the same of the 1st and the 99th percentile; what lies outside is
    clipped. An image of one value is black.
"""

import dataclasses

import numpy as np
from PIL import ImageColor

from npid_tf.errors import UserError

INTENSITIES = ("full", "minmax", "percentile")
PERCENTILES = (0.01, 0.99)


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How files become pixels, the same in training, evaluation, search and server.

    Args:
        background: a color's name, as in CSS, or #rrggbb: beneath what is transparent.
        intensity: what values of more than 8 bits are scaled by, one of INTENSITIES.

    Raises:
        UserError: for a color or a rule that is none.
    """

    background: str = "white"
    intensity: str = "full"

    def __post_init__(self):
        if self.intensity not in INTENSITIES:
            raise UserError(
                f"Unknown intensity {self.intensity!r}. Known: "
                f"{', '.join(INTENSITIES)}."
            )
        try:
            ImageColor.getrgb(self.background)
        except (ValueError, AttributeError):
            raise UserError(
                "`background` must be a color's name, as white, black or gray, or "
                f"#rrggbb. Received: {self.background!r}."
            ) from None

    @classmethod
    def of(cls, described):
        """That of a dict, as an export describes its data; the default for the rest."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: described[name] for name in names if name in described})

    @property
    def color(self):
        """The background, three numbers of 0..255."""
        return ImageColor.getrgb(self.background)[:3]


DEFAULT = Decoding()


def compose(image, alpha, color):
    """uint8 [height, width, 3] of an image and its alpha [height, width, 1] on a color.

    Of arrays and of tensors, both uint16 of 0..255, which holds the largest sum.
    """
    return (image * alpha + color * (255 - alpha) + 127) // 255


def to_rgb(values, decoding):
    """uint8 [..., 3] of grey, grey and alpha, RGB or RGBA: values [..., 1 to 4], an
    array of bytes or of deeper values."""
    has_alpha = values.shape[-1] in (2, 4)
    image, alpha = (values[..., :-1], values[..., -1:]) if has_alpha else (values, None)
    if values.dtype != np.uint8:
        image = to_bytes(image, decoding.intensity)
    if has_alpha:
        alpha = alpha if alpha.dtype == np.uint8 else to_bytes(alpha, "full")
        color = np.array(decoding.color, np.uint16)
        image = compose(image.astype(np.uint16), alpha.astype(np.uint16), color)
        image = image.astype(np.uint8)
    return np.broadcast_to(image, (*image.shape[:-1], 3))


def to_bytes(values, intensity):
    """uint8 of integers or floats of more than 8 bits, an array of any shape.

    Raises UserError for values that `full` has no rule for.
    """
    low, high = _RANGES[intensity](values)
    scaled = (values.astype(np.float64) - low) * (255 / max(high - low, 1e-30))
    scaled = np.nan_to_num(scaled, nan=0, posinf=255, neginf=0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _full(values):
    if values.dtype == np.uint16:
        return 0, 65535
    low, high = values.min(), values.max()
    tops = (1, 255) if values.dtype.kind == "f" else (65535,)
    for top in tops:
        if low >= 0 and high <= top:
            return 0, top
    raise UserError(
        f"its values reach from {low:g} to {high:g}, and only those of "
        f"{' or '.join(f'0 to {top}' for top in tops)} have a full range. Pass "
        "--intensity=minmax or --intensity=percentile"
    )


def _minmax(values):
    values = _finite(values)
    return float(values.min()), float(values.max())


def _percentile(values):
    values = _finite(values)
    low, high = PERCENTILES
    return (
        float(np.quantile(values, low, method="lower")),
        float(np.quantile(values, high, method="higher")),
    )


def _finite(values):
    finite = values[np.isfinite(values)]
    return finite if finite.size else np.zeros(1)


_RANGES = {"full": _full, "minmax": _minmax, "percentile": _percentile}
