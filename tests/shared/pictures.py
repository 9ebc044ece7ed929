"""One picture in every file format and mode that is decoded, and what Pillow sees in a file."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HEIGHT, WIDTH = 10, 14


def picture(mode: str = "RGB") -> Image.Image:
    """A smooth picture without symmetry, transparent at its left edge."""
    row, column = np.mgrid[0:HEIGHT, 0:WIDTH]
    channels = (20 * row, 255 - 15 * column, 10 * (row + column), 19 * column)
    rgba = Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))
    return rgba if mode == "RGBA" else rgba.convert("RGB").convert(mode)


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def animate(image_format: str, **options: object) -> bytes:
    frames = [picture().rotate(180), picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    options = {"save_all": True, "append_images": frames, "duration": 50, **options}
    return encode(picture(), image_format, **options)


def with_orientation(orientation: int, byte_order: str = "<") -> bytes:
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F] = "a maker's name"
    exif[0x0112] = orientation
    return encode(picture(), "JPEG", exif=exif, quality=95)


def interlaced_png(pixels: np.ndarray) -> bytes:
    """Writes `(height, width, 3)` pixels in the seven passes of Adam7, which Pillow cannot."""
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4)]
    passes += [(2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
    rows = b""
    for first_row, row_step, first_column, column_step in passes:
        for row in pixels[first_row::row_step, first_column::column_step]:
            rows += b"\0" + row.tobytes()
    size = struct.pack(">II5B", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", size), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def reference(image_bytes: bytes) -> np.ndarray:
    """What Pillow sees: upright, RGB, on white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(image_bytes)))
    if image.format != "BMP" and image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(image.convert("RGB"), int)


def palette_picture(colors: int = 256) -> Image.Image:
    return picture().convert("P", palette=Image.Palette.ADAPTIVE, colors=colors)


EXACT = {
    "jpeg": encode(picture(), "JPEG"),
    "jpeg_progressive": encode(picture(), "JPEG", progressive=True),
    "jpeg_grey": encode(picture("L"), "JPEG"),
    "jpeg_restart": encode(picture(), "JPEG", restart_marker_blocks=1),
    "png_rgb": encode(picture(), "PNG"),
    "png_interlaced": interlaced_png(np.asarray(picture())),
    "png_grey": encode(picture("L"), "PNG"),
    "png_bit": encode(picture("1"), "PNG"),
    "png_palette": encode(palette_picture(), "PNG"),
    "png_palette_4_bits": encode(palette_picture(16), "PNG"),
    "gif": encode(picture(), "GIF"),
    "gif_animated": animate("GIF"),
    "bmp_8_grey": encode(picture("L"), "BMP"),
    "bmp_8_palette": encode(palette_picture(), "BMP"),
    "bmp_24": encode(picture(), "BMP"),
    "bmp_32": encode(picture("RGBA"), "BMP"),
    "bmp_trailing_bytes": encode(picture(), "BMP") + b"\0\0",
    "webp_lossy": encode(picture(), "WEBP"),
    "webp_lossless": encode(picture(), "WEBP", lossless=True),
    "webp_animated": animate("WEBP", lossless=True),
}
BLENDED = {
    "png_rgba": encode(picture("RGBA"), "PNG"),
    "png_grey_alpha": encode(picture("RGBA").convert("LA"), "PNG"),
    "png_palette_transparent": encode(palette_picture(), "PNG", transparency=3),
    "png_palette_2_bits_transparent": encode(palette_picture(4), "PNG", transparency=2),
    "webp_alpha": encode(picture("RGBA"), "WEBP", lossless=True),
    "webp_lossy_alpha": encode(picture("RGBA"), "WEBP"),
    "webp_animated_alpha": encode(
        picture("RGBA"),
        "WEBP",
        save_all=True,
        append_images=[picture("RGBA").rotate(180)],
        lossless=True,
    ),
}
CHANNELS = {
    "jpeg_grey": 1, "png_grey": 1, "png_bit": 1, "png_rgba": 4, "png_grey_alpha": 2, "bmp_32": 4,
    "webp_alpha": 4, "webp_lossy_alpha": 4, "webp_animated_alpha": 4,
}  # fmt: skip
FILES = EXACT | BLENDED
