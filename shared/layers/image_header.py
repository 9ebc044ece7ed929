"""Image file headers, read with TensorFlow ops and without decoding a pixel.

The functions run eagerly, in tf.data and in an exported signature. They never raise: bytes past the
end of the file read as zero, every loop is bounded, and what is wrong is put into words.
"""

from typing import NamedTuple

import tensorflow as tf

from shared.layers.byte_reading import contains_at, read_bytes, read_uint

JPEG, PNG, GIF, BMP, WEBP, UNSUPPORTED = range(6)

# Position in the file, bytes found there, format, name. The last entry matches every file.
_SIGNATURES: tuple[tuple[int, bytes, int, str], ...] = (
    (0, b"\xff\xd8\xff", JPEG, "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", PNG, "PNG"),
    (0, b"GIF87a", GIF, "GIF"),
    (0, b"GIF89a", GIF, "GIF"),
    (0, b"BM", BMP, "BMP"),
    (8, b"WEBPVP8", WEBP, "WebP"),
    (0, b"II*\x00", UNSUPPORTED, "TIFF"),
    (0, b"MM\x00*", UNSUPPORTED, "TIFF"),
    (4, b"ftyp", UNSUPPORTED, "HEIC, AVIF or a video"),
    (0, b"\xff\x0a", UNSUPPORTED, "JPEG XL"),
    (4, b"JXL ", UNSUPPORTED, "JPEG XL"),
    (0, b"%PDF", UNSUPPORTED, "PDF"),
    (0, b"PK\x03\x04", UNSUPPORTED, "a ZIP archive"),
    (0, b"<", UNSUPPORTED, "HTML, SVG or XML"),
    (0, b"", UNSUPPORTED, "no known file format"),
)
_POSITIONS = [position for position, _, _, _ in _SIGNATURES]
_MAGIC_BYTES = [magic for _, magic, _, _ in _SIGNATURES]
_FORMATS = [image_format for _, _, image_format, _ in _SIGNATURES]
_NAMES = [name for _, _, _, name in _SIGNATURES]

_MAX_SEGMENTS = 4096  # JPEG: real files have a few dozen before the frame header
_MAX_EXTENSIONS = 16  # GIF: real files have a handful before the first frame
_MAX_RUNS = 2048  # GIF: encoders write sub-blocks of one size, so a frame has few runs
_RUN_BYTES = 2**14
_MAX_EXIF_ENTRIES = 128

_START_OF_FRAME = [0xFFC0 + n for n in range(16) if n not in (4, 8, 12)]  # not DHT, JPG, DAC
_END_OF_HEADER = [*_START_OF_FRAME, 0xFFD9, 0xFFDA]  # end of image, start of scan
_APP1 = 0xFFE1


class ImageHeader(NamedTuple):
    """Int64 scalars of a header, `end` being where it ends in the file; `error` is a string scalar.

    Bytes past the end of the file have been read as zero: compare `end` with the file's length.
    """

    height: tf.Tensor
    width: tf.Tensor
    channels: tf.Tensor
    end: tf.Tensor
    orientation: tf.Tensor
    error: tf.Tensor


def identify_format(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns the int32 scalar `JPEG`, `PNG`, `GIF`, `BMP`, `WEBP` or `UNSUPPORTED`."""
    return tf.gather(_FORMATS, _match_signature(image_bytes))


def read_header(image_bytes: tf.Tensor) -> ImageHeader:
    """Reads the header of an image file, without judging the sizes found.

    Sources: PNG (ISO/IEC 15948), JPEG (ITU-T T.81), Exif 2.32, GIF89a, BMP, WebP (RFC 9649).

    Args:
        image_bytes: string scalar. The whole file.

    Returns:
        The header.
    """
    parsers = (
        _jpeg_header,
        _png_header,
        _gif_header,
        _bmp_header,
        _webp_header,
        _unsupported_header,
    )
    branches = [lambda parser=parser: parser(image_bytes) for parser in parsers]
    return tf.switch_case(identify_format(image_bytes), branches)


def gif_first_frame(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns the position of a GIF's first image descriptor, an int64 scalar.

    Where there is no frame, another byte than 0x2C stands there, or the file has ended.
    """
    extension = 0x21
    (position,) = tf.while_loop(
        lambda position: read_uint(image_bytes, position, 1) == extension,
        lambda position: (gif_skip_sub_blocks(image_bytes, position + 2),),
        (13 + gif_color_table_size(read_uint(image_bytes, 10, 1)),),
        maximum_iterations=_MAX_EXTENSIONS,
    )
    return position


def gif_color_table_size(flags: tf.Tensor) -> tf.Tensor:
    """Returns the size in bytes of the GIF colour table that an int64 field of flags announces."""
    return tf.where(flags >= 0x80, 3 * 2 ** (flags % 8 + 1), 0)


def gif_skip_sub_blocks(image_bytes: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Returns the position behind the chain of GIF sub-blocks at `position`, an int64 scalar.

    A sub-block is a size byte and that many bytes; size 0 ends the chain. Each iteration skips a
    run of sub-blocks of equal size, because a large frame has thousands of them.
    """

    def skip_run(position: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        sizes = read_bytes(image_bytes, position, _RUN_BYTES)[:: size + 1]
        run = tf.reduce_sum(tf.math.cumprod(tf.cast(sizes == size, tf.int64)))
        position += run * (size + 1)
        return position, read_uint(image_bytes, position, 1)

    position, _ = tf.while_loop(
        lambda position, size: size > 0,
        skip_run,
        (position, read_uint(image_bytes, position, 1)),
        maximum_iterations=_MAX_RUNS,
    )
    return position + 1


def _match_signature(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns the index of the first of `_SIGNATURES` that the file bears."""
    positions = tf.minimum(_POSITIONS, tf.strings.length(image_bytes))
    found = tf.strings.substr(image_bytes, positions, [len(magic) for magic in _MAGIC_BYTES])
    return tf.argmax(tf.cast(found == _MAGIC_BYTES, tf.int32))


def _header(
    height: tf.Tensor | int,
    width: tf.Tensor | int,
    channels: tf.Tensor | int,
    end: tf.Tensor | int,
    orientation: tf.Tensor | int = 1,
    error: tf.Tensor | str = "",
) -> ImageHeader:
    """Makes every field a tensor, as the branches of a `tf.switch_case` must have equal types."""

    def number(value: tf.Tensor | int) -> tf.Tensor:
        return tf.convert_to_tensor(value, tf.int64)

    return ImageHeader(
        height=number(height),
        width=number(width),
        channels=number(channels),
        end=number(end),
        orientation=number(orientation),
        error=tf.convert_to_tensor(error, tf.string),
    )


def _jpeg_header(image_bytes: tf.Tensor) -> ImageHeader:
    """Walks the marker segments up to the frame header, noting the first Exif segment."""
    length = tf.cast(tf.strings.length(image_bytes), tf.int64)

    def marker_at(position: tf.Tensor) -> tf.Tensor:
        return read_uint(image_bytes, position, 2, little_endian=False)

    def is_before_frame(position: tf.Tensor, marker: tf.Tensor, exif: tf.Tensor) -> tf.Tensor:
        return (position < length) & tf.reduce_all(marker != _END_OF_HEADER)

    def next_segment(
        position: tf.Tensor, marker: tf.Tensor, exif: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        is_exif = (marker == _APP1) & contains_at(image_bytes, position + 4, b"Exif\x00\x00")
        exif = tf.where(is_exif & (exif == 0), position + 10, exif)
        is_restart = (marker >= 0xFFD0) & (marker <= 0xFFD8)
        has_length = (marker >= 0xFFC0) & (marker < 0xFFFF) & ~is_restart
        # Fill bytes and garbage between segments are passed over byte by byte, as libjpeg does.
        position += tf.where(has_length, 2 + marker_at(position + 2), 1)
        return position, marker_at(position), exif

    start = tf.constant(2, tf.int64)
    position, marker, exif = tf.while_loop(
        is_before_frame,
        next_segment,
        (start, marker_at(start), tf.zeros_like(start)),
        maximum_iterations=_MAX_SEGMENTS,
    )
    has_frame = tf.reduce_any(marker == _START_OF_FRAME)
    return _header(
        height=read_uint(image_bytes, position + 5, 2, little_endian=False),
        width=read_uint(image_bytes, position + 7, 2, little_endian=False),
        channels=read_uint(image_bytes, position + 9, 1),
        end=position + 10,
        orientation=_exif_orientation(image_bytes, exif),
        error=tf.where(has_frame, "", "corrupt: the JPEG has no frame header"),
    )


def _exif_orientation(image_bytes: tf.Tensor, tiff: tf.Tensor) -> tf.Tensor:
    """Returns tag 0x0112 in the first directory of the TIFF structure at position `tiff`, or 1."""
    little_endian = contains_at(image_bytes, tiff, b"II*\x00")
    big_endian = contains_at(image_bytes, tiff, b"MM\x00*")
    directory = tiff + read_uint(image_bytes, tiff + 4, 4, little_endian)
    num_entries = read_uint(image_bytes, directory, 2, little_endian)
    entries = read_bytes(image_bytes, directory + 2, 12 * _MAX_EXIF_ENTRIES)
    entries = tf.reshape(entries, (_MAX_EXIF_ENTRIES, 12))
    place_values = tf.cast(tf.where(little_endian, [1, 256], [256, 1]), tf.int64)
    tags = tf.reduce_sum(entries[:, 0:2] * place_values, axis=1)
    values = tf.reduce_sum(entries[:, 8:10] * place_values, axis=1)
    is_entry = tf.range(_MAX_EXIF_ENTRIES, dtype=tf.int64) < num_entries
    orientation = tf.reduce_max(tf.where(is_entry & (tags == 0x0112), values, 0))
    is_valid = (little_endian | big_endian) & (orientation >= 1) & (orientation <= 8)
    return tf.where(is_valid, orientation, 1)


def _png_header(image_bytes: tf.Tensor) -> ImageHeader:
    channels_by_color_type = tf.constant([1, 0, 3, 3, 2, 0, 4, 0], tf.int64)
    color_type = tf.minimum(read_uint(image_bytes, 25, 1), 7)
    has_header = contains_at(image_bytes, 12, b"IHDR")
    return _header(
        height=read_uint(image_bytes, 20, 4, little_endian=False),
        width=read_uint(image_bytes, 16, 4, little_endian=False),
        channels=tf.gather(channels_by_color_type, color_type),
        end=33,
        error=tf.where(has_header, "", "corrupt: the PNG does not begin with an IHDR chunk"),
    )


def _gif_header(image_bytes: tf.Tensor) -> ImageHeader:
    frame = gif_first_frame(image_bytes)
    has_frame = contains_at(image_bytes, frame, b"\x2c")
    return _header(
        height=read_uint(image_bytes, frame + 7, 2),
        width=read_uint(image_bytes, frame + 5, 2),
        channels=3,
        end=frame + 10,
        error=tf.where(has_frame, "", "corrupt: the GIF has no frame"),
    )


def _bmp_header(image_bytes: tf.Tensor) -> ImageHeader:
    height, width = read_uint(image_bytes, 22, 4), read_uint(image_bytes, 18, 4)
    bits_per_pixel = read_uint(image_bytes, 28, 2)
    is_uncompressed = read_uint(image_bytes, 30, 4) == 0
    has_full_header = read_uint(image_bytes, 14, 4) >= 40
    is_supported = is_uncompressed & has_full_header & tf.reduce_any(bits_per_pixel == [8, 24, 32])
    return _header(
        height=tf.where(height < 2**31, height, 2**32 - height),  # negative: topmost row first
        width=tf.where(width < 2**31, width, 0),
        channels=tf.where(bits_per_pixel == 32, tf.constant(4, tf.int64), 3),
        end=54,
        error=tf.where(
            is_supported,
            "",
            "unsupported: BMP must have 8, 24 or 32 bits per pixel, uncompressed; send PNG instead",
        ),
    )


def _webp_header(image_bytes: tf.Tensor) -> ImageHeader:
    def lossless() -> ImageHeader:
        packed = read_uint(image_bytes, 21, 4)  # 14 bits width - 1, 14 bits height - 1, 1 bit alpha
        height, width = packed // 2**14 % 2**14 + 1, packed % 2**14 + 1
        return _header(height, width, channels=3 + packed // 2**28 % 2, end=25)

    def extended() -> ImageHeader:
        height, width = read_uint(image_bytes, 27, 3) + 1, read_uint(image_bytes, 24, 3) + 1
        has_alpha = read_uint(image_bytes, 20, 1) // 16 % 2
        return _header(height, width, channels=3 + has_alpha, end=30)

    def lossy() -> ImageHeader:
        height, width = read_uint(image_bytes, 28, 2), read_uint(image_bytes, 26, 2)
        return _header(height % 2**14, width % 2**14, channels=3, end=30)

    return tf.case(
        [
            (contains_at(image_bytes, 12, b"VP8L"), lossless),
            (contains_at(image_bytes, 12, b"VP8X"), extended),
        ],
        default=lossy,
    )


def _unsupported_header(image_bytes: tf.Tensor) -> ImageHeader:
    name = tf.gather(_NAMES, _match_signature(image_bytes))
    beginning = tf.strings.substr(image_bytes, 0, 64)
    is_text = (name == _NAMES[-1]) & tf.strings.regex_full_match(beginning, r"[\t\r\n -~]+")
    name = tf.where(is_text, "text (base64 must be decoded first)", name)
    supported = "; send JPEG, PNG, GIF, BMP or WebP"
    error = tf.strings.join(["unsupported: the file looks like ", name, supported])
    return _header(0, 0, channels=0, end=0, error=error)
