"""The one error of the pixel pipeline."""


class PixelsError(ValueError):
    """The pixels are described impossibly or unsupported; the message names the attribute."""
