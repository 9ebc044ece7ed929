"""Image files to pixels, with TensorFlow ops: the same eagerly, in tf.data and in a signature.

For a batch in which some files may be bad, wrap `decode_image` in
`shared.export.isolation.isolate_rows`.
"""

import tensorflow as tf

from shared.layers.byte_reading import contains_at, read_bytes, read_uint
from shared.layers.image_header import (
    ImageHeader,
    gif_color_table_size,
    gif_first_frame,
    gif_skip_sub_blocks,
    identify_format,
    read_header,
)

MAX_PIXELS = 50_000_000
_INT32_MAX = 2**31 - 1
_FILE = tf.TensorSpec((), tf.string, name="image_bytes")


@tf.function(input_signature=[_FILE], autograph=False)
def inspect_image(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Reads an image's size and orientation from its header, and says why it cannot be decoded.

    Decodes no pixel and never raises. A file without error may still turn out to be corrupt when
    its pixels are decoded.

    Args:
        image_bytes: string scalar. The whole file.

    Returns:
        A dictionary of scalars. `"error"`: string, `""` or `"code: reason"` with the codes
        `empty`, `unsupported` (format, or variant of it), `corrupt` (header cut off or
        impossible) and `too_large` (more than `MAX_PIXELS`). `"height"`, `"width"`: int32, pixels
        as stored, before the orientation is applied; of the first frame for a GIF. `"channels"`:
        int32, as stored; a palette counts as 3. `"orientation"`: int32, 1 to 8, Exif tag 0x0112 of
        a JPEG, and 1 for
        the other formats. With an error other than `too_large`, the sizes are 0 and the
        orientation is 1.
    """
    header = read_header(image_bytes)
    is_readable, error = _judge(image_bytes, header)

    def field(value: tf.Tensor, otherwise: int) -> tf.Tensor:
        return tf.where(is_readable, tf.cast(tf.minimum(value, _INT32_MAX), tf.int32), otherwise)

    return {
        "error": error,
        "height": field(header.height, 0),
        "width": field(header.width, 0),
        "channels": field(header.channels, 0),
        "orientation": field(header.orientation, 1),
    }


# Traced once: every pipeline and signature calls the same graph instead of building its own.
@tf.function(input_signature=[_FILE], autograph=False)
def decode_image(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF, BMP or WebP file, upright as its Exif orientation says.

    Grey becomes three equal channels, CMYK becomes RGB, 16 bits are cut to the upper 8, and of an
    animation the first frame is taken. Transparent PNG and WebP pixels are composited on white:
    the colours stored under full transparency are arbitrary, often black under black lettering.
    The fourth byte of BMP pixels and the transparent colour of a GIF are ignored.

    Args:
        image_bytes: string scalar. The whole file.

    Returns:
        Uint8 `(height, width, 3)`, RGB.

    Raises:
        tf.errors.InvalidArgumentError: if `inspect_image` finds an error, or the data behind the
            header are corrupt or cut off.
    """
    error = inspect_image(image_bytes)["error"]
    # A graph is free to decode before it asserts, and to allocate what the header claims.
    with tf.control_dependencies([tf.debugging.Assert(error == "", [error])]):
        return decode_inspected_image(tf.identity(image_bytes))


@tf.function(input_signature=[_FILE], autograph=False)
def decode_inspected_image(image_bytes: tf.Tensor) -> tf.Tensor:
    """`decode_image` for a file in which `inspect_image` found no error, without looking again.

    Args:
        image_bytes: string scalar. The whole file; one that was not inspected may take all memory.

    Returns:
        Uint8 `(height, width, 3)`, RGB.

    Raises:
        tf.errors.InvalidArgumentError: if the data behind the header are corrupt or cut off.
    """
    pixels = tf.switch_case(
        identify_format(image_bytes),
        [
            lambda: _decode_jpeg(image_bytes),
            lambda: _decode_png(image_bytes),
            lambda: _decode_gif(image_bytes),
            lambda: _decode_bmp(image_bytes),
            lambda: _decode_webp(image_bytes),
        ],
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def _judge(image_bytes: tf.Tensor, header: ImageHeader) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether the header's sizes mean anything, and what is wrong with the file, or ""."""
    length = tf.cast(tf.strings.length(image_bytes), tf.int64)
    sizes = tf.stack((header.height, header.width, header.channels))
    is_empty, is_cut_off = length == 0, header.end > length
    is_refused, has_no_pixels = header.error != "", tf.reduce_min(sizes) == 0
    # Divided, because the product of two sizes of 32 bits may not fit into 64 with a sign.
    is_too_large = header.height > MAX_PIXELS // tf.maximum(header.width, 1)
    is_readable = ~(is_empty | is_cut_off | is_refused | has_no_pixels)

    def explain() -> tf.Tensor:
        cut_off = "corrupt: the file ends in its header, after {} bytes"
        no_pixels = "corrupt: the header claims {} x {} pixels (height x width) in {} channels"
        too_large = "too_large: the header claims {} x {} pixels (height x width), the limit is {}"
        error = tf.strings.format(too_large, (sizes[0], sizes[1], MAX_PIXELS))
        error = tf.where(has_no_pixels, tf.strings.format(no_pixels, tf.unstack(sizes)), error)
        error = tf.where(is_refused, header.error, error)
        error = tf.where(is_cut_off, tf.strings.format(cut_off, length), error)
        return tf.where(is_empty, "empty: the file has no bytes", error)

    # Putting it into words costs more than all the rest, and most files are good.
    error = tf.cond(is_readable & ~is_too_large, lambda: tf.constant(""), explain)
    return is_readable, error


def _decode_jpeg(image_bytes: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE")
    return _apply_orientation(pixels, read_header(image_bytes).orientation)


def _decode_png(image_bytes: tf.Tensor) -> tf.Tensor:
    # Not channels=4: TensorFlow adds an alpha of 1 instead of 255 to files of 1 bit, 15 to 4 bits.
    return _composite_on_white(tf.io.decode_png(image_bytes, channels=0))


def _decode_gif(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes the first frame alone: TensorFlow decodes all frames, however many, to return one.

    The frame's offset on the canvas is set to zero, else TensorFlow shifts it out of the image.
    """
    frame = gif_first_frame(image_bytes)
    color_table = gif_color_table_size(read_uint(image_bytes, frame + 9, 1))
    end = gif_skip_sub_blocks(image_bytes, frame + 10 + color_table + 1)
    length = tf.cast(tf.strings.length(image_bytes), tf.int64)
    before = tf.strings.substr(image_bytes, tf.zeros_like(frame), frame)
    after_offset = tf.strings.substr(image_bytes, frame + 5, tf.minimum(end, length) - frame - 5)
    trailer = b"\x3b"
    single_frame = tf.strings.join([before, b"\x2c\0\0\0\0", after_offset, trailer])
    return tf.io.decode_image(single_frame, channels=3, expand_animations=False)


def _decode_bmp(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a BMP, with two repairs to what TensorFlow does.

    TensorFlow rejects bytes behind the pixels, and takes the palette indices of 8-bit files for
    shades of grey.
    """
    header = read_header(image_bytes)
    bytes_per_pixel = read_uint(image_bytes, 28, 2) // 8
    row_size = (header.width * bytes_per_pixel + 3) // 4 * 4
    end = read_uint(image_bytes, 10, 4) + row_size * header.height
    pixels = tf.io.decode_bmp(tf.strings.substr(image_bytes, tf.zeros_like(end), end), channels=3)

    def look_up_palette() -> tf.Tensor:
        palette_position = 14 + read_uint(image_bytes, 14, 4)
        bgrx = tf.reshape(read_bytes(image_bytes, palette_position, 4 * 256), (256, 4))
        return tf.gather(tf.cast(bgrx[:, 2::-1], tf.uint8), tf.cast(pixels[..., 0], tf.int32))

    return tf.cond(bytes_per_pixel == 1, look_up_palette, lambda: pixels)


def _decode_webp(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a WebP; an animation is declared to have an alpha channel first.

    For one that declares none, TensorFlow 2.21 writes four channels into memory for three.
    """
    flags = read_uint(image_bytes, 20, 1)
    is_animated = contains_at(image_bytes, 12, b"VP8X") & (flags // 2 % 2 == 1)
    with_alpha = tf.strings.join(
        [
            tf.strings.substr(image_bytes, 0, 20),
            b"\x12",  # the flags for alpha and animation
            tf.strings.substr(image_bytes, 21, _INT32_MAX),
        ]
    )
    image_bytes = tf.where(is_animated, with_alpha, image_bytes)
    pixels = tf.io.decode_image(image_bytes, channels=0, expand_animations=False)
    return _composite_on_white(pixels)


def _composite_on_white(pixels: tf.Tensor) -> tf.Tensor:
    """Turns 1 (grey), 2 (grey, alpha), 3 or 4 channels into RGB, blended with white by alpha."""
    shape = tf.shape(pixels)
    num_colors = tf.where(shape[2] <= 2, 1, 3)
    colors, alpha = pixels[..., :num_colors], pixels[..., num_colors:]
    colors = tf.broadcast_to(colors, (shape[0], shape[1], 3))

    def blend() -> tf.Tensor:
        weight = tf.cast(alpha, tf.uint16)
        weighted = tf.cast(colors, tf.uint16) * weight + 255 * (255 - weight)
        return tf.cast((weighted + 127) // 255, tf.uint8)

    return tf.cond(tf.reduce_all(alpha == 255), lambda: colors, blend)


def _apply_orientation(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns the image upright: a transposition for 5 to 8, then flips."""

    def step(orientations: list[int]) -> tf.Tensor:
        return tf.where(tf.reduce_any(orientation == orientations), -1, 1)

    is_transposed = orientation >= 5
    pixels = tf.cond(is_transposed, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    return pixels[:: step([3, 4, 7, 8]), :: step([2, 3, 6, 7])]
