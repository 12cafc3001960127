"""The short words that say why an instance has no picture: stored, shown and translated."""

NO_PIXEL_DATA = "no_pixel_data"
UNREADABLE = "unreadable"
UNSUPPORTED_PIXELS = "unsupported_pixels"
UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
TOO_LARGE = "too_large"
LENGTH_MISMATCH = "length_mismatch"
CODESTREAM_MISMATCH = "codestream_mismatch"
DECODE_FAILED = "decode_failed"
DECODER_CRASHED = "decoder_crashed"
DECODER_TIMEOUT = "decoder_timeout"
DECODER_OUT_OF_MEMORY = "decoder_out_of_memory"
NO_SUCH_FRAME = "no_such_frame"
NOT_STORED = "not_stored"
THIN_SLICE_HEAD = "thin_slice_head"
BURNED_IN_TEXT = "burned_in_text"
NOT_SELECTED = "not_selected"
NO_IMAGE_OBJECTS = "no_image_objects"

ALL_REASONS = frozenset(
    value for name, value in list(globals().items()) if name.isupper() and name != "ALL_REASONS"
)
