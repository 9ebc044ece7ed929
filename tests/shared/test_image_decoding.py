import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.export.isolation import isolate_rows
from shared.layers.image_decoding import MAX_PIXELS, decode_image, inspect_image
from tests.shared.pictures import (
    BLENDED,
    CHANNELS,
    EXACT,
    FILES,
    HEIGHT,
    WIDTH,
    encode,
    picture,
    reference,
    with_orientation,
)

OUTPUT = tf.TensorSpec((HEIGHT, WIDTH, 3), tf.uint8)


@tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
def decode_rows(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return isolate_rows(decode_image, image_bytes, OUTPUT)


@tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
def inspect_rows(image_bytes: tf.Tensor) -> tf.Tensor:
    return tf.map_fn(lambda row: inspect_image(row)["error"], image_bytes)


@pytest.mark.parametrize("name", EXACT)
def test_decode_image_equals_pillow(name):
    np.testing.assert_array_equal(decode_image(EXACT[name]), reference(EXACT[name]))


@pytest.mark.parametrize("name", BLENDED)
def test_transparency_is_composited_on_white(name):
    pixels = decode_image(BLENDED[name]).numpy().astype(int)
    assert np.abs(pixels - reference(BLENDED[name])).max() <= 1


def test_decode_image_turns_cmyk_into_rgb():
    image_bytes = encode(picture("CMYK"), "JPEG", quality=95)
    pixels = decode_image(image_bytes).numpy().astype(int)
    assert np.abs(pixels - reference(image_bytes)).max() <= 2
    assert inspect_image(image_bytes)["channels"] == 4


def test_decode_image_keeps_the_upper_8_of_16_bits():
    pixels = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 460
    decoded = decode_image(encode(Image.fromarray(pixels), "PNG"))
    np.testing.assert_array_equal(decoded, np.repeat(pixels[..., np.newaxis] >> 8, 3, axis=-1))


def test_decode_image_reads_bmp_rows_from_top_to_bottom():
    image_bytes = bytearray(encode(picture(), "BMP"))
    image_bytes[22:26] = struct.pack("<i", -HEIGHT)
    np.testing.assert_array_equal(decode_image(bytes(image_bytes)), np.asarray(picture())[::-1])
    assert inspect_image(bytes(image_bytes))["height"] == HEIGHT


@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_image_applies_exif_orientation(orientation, byte_order):
    image_bytes = with_orientation(orientation, byte_order)
    assert inspect_image(image_bytes)["orientation"] == orientation
    np.testing.assert_array_equal(decode_image(image_bytes), reference(image_bytes))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_impossible_exif_orientation_is_ignored(orientation):
    assert inspect_image(with_orientation(orientation))["orientation"] == 1


def test_orientation_is_found_behind_other_segments():
    comment = b"\xff\xfe" + struct.pack(">H", 65535) + b"\xff\xc0" + bytes(65531)
    xmp = b"\xff\xe1\x00\x08http:/"
    fill_and_garbage = b"\xff\xff\xff\x00\x00\x17"
    image_bytes = with_orientation(6)
    image_bytes = image_bytes[:2] + comment + xmp + fill_and_garbage + image_bytes[2:]
    header = inspect_image(image_bytes)
    assert (header["error"], header["orientation"]) == (b"", 6)
    assert (header["height"], header["width"]) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("name", FILES)
def test_inspect_image_reads_the_size(name):
    header = inspect_image(FILES[name])
    assert header["error"] == b""
    assert (header["height"], header["width"], header["orientation"]) == (HEIGHT, WIDTH, 1)
    assert header["channels"] == CHANNELS.get(name, 3)


def patch(name: str, changes: dict[int, bytes]) -> bytes:
    image_bytes = bytearray(FILES[name])
    for position, value in changes.items():
        image_bytes[position : position + len(value)] = value
    return bytes(image_bytes)


def huge(name: str, side: int = 50_000) -> bytes:
    if name.startswith("jpeg"):
        return patch(name, {FILES[name].index(b"\xff\xc0") + 5: struct.pack(">HH", side, side)})
    if name.startswith("gif"):
        return patch(name, {FILES[name].index(b"\x2c\0\0\0\0") + 5: struct.pack("<HH", side, side)})
    lossless_size = (side - 1) | (side - 1) << 14
    return patch(name, {
        "png_rgb": {16: struct.pack(">II", side, side)},
        "bmp_24": {18: struct.pack("<ii", side, -side)},
        "webp_lossless": {21: struct.pack("<I", lossless_size % 2**32)},
        "webp_lossy": {26: struct.pack("<HH", side, side)},
        "webp_animated": {24: struct.pack("<I", side - 1)[:3] * 2},
    }[name])  # fmt: skip


@pytest.mark.parametrize("name", ["jpeg", "gif", "png_rgb", "bmp_24", "webp_animated"])
def test_a_header_that_claims_too_many_pixels_is_refused(name):
    header = inspect_image(huge(name))
    assert header["error"].numpy().startswith(b"too_large: ")
    assert b"50000 x 50000" in header["error"].numpy() and b"50000000" in header["error"].numpy()
    assert (header["height"], header["width"]) == (50_000, 50_000)
    with pytest.raises(tf.errors.InvalidArgumentError, match="too_large"):
        decode_image(huge(name))


@pytest.mark.parametrize("name", ["webp_lossy", "webp_lossless"])
def test_a_webp_of_14_bit_sizes_is_refused_too(name):
    assert inspect_image(huge(name, 16_383))["error"].numpy().startswith(b"too_large: ")


def test_sizes_of_32_bits_do_not_overflow():
    header = inspect_image(patch("png_rgb", {16: b"\xff" * 8}))
    assert header["error"].numpy().startswith(b"too_large: ")
    assert header["width"] == 2**31 - 1


def test_max_pixels_is_the_largest_size_accepted():
    largest = patch("png_rgb", {16: struct.pack(">II", MAX_PIXELS, 1)})
    larger = patch("png_rgb", {16: struct.pack(">II", MAX_PIXELS + 1, 1)})
    assert inspect_image(largest)["error"] == b""
    assert inspect_image(larger)["error"] != b""


@pytest.mark.parametrize(
    ("image_bytes", "error"),
    [
        (b"", "empty: "),
        (b"<!DOCTYPE html>", "unsupported: .*HTML"),
        (b"iVBORw0KGgo=", "unsupported: .*base64"),
        (b"%PDF-1.7", "unsupported: .*PDF"),
        (b"\0\0\0\x18ftypheic", "unsupported: .*HEIC"),
        (encode(picture(), "TIFF"), "unsupported: .*TIFF"),
        (b"\x00\x01\x02", "unsupported: .*no known"),
        (encode(picture("1"), "BMP"), "unsupported: BMP"),
        (patch("bmp_8_grey", {30: b"\x01"}), "unsupported: BMP"),
        (b"\xff\xd8\xff\xd9" + bytes(20), "corrupt: .*no frame"),
        (FILES["png_rgb"][:20], "corrupt: .*after 20 bytes"),
        (patch("png_rgb", {12: b"IDAT"}), "corrupt: .*IHDR"),
        (patch("png_rgb", {16: bytes(4)}), "corrupt: .*10 x 0"),
        (patch("bmp_24", {18: struct.pack("<i", -3)}), "corrupt: .*10 x 0"),
        (b"GIF89a" + bytes(7) + b"\x3b" + bytes(20), "corrupt: .*no frame"),
    ],
)
def test_inspect_image_says_what_is_wrong(image_bytes, error):
    header = inspect_image(image_bytes)
    with pytest.raises(tf.errors.InvalidArgumentError, match=error):
        decode_image(image_bytes)
    assert [header[name] for name in ("height", "width", "channels")] == [0, 0, 0]
    assert header["orientation"] == 1


def test_inspect_image_stops_on_endless_chains():
    image_bytes = b"GIF89a" + bytes(7) + b"\x21\x01\x01\0\0" * 20_000
    assert inspect_image(image_bytes)["error"].numpy().startswith(b"corrupt")
    assert inspect_image(b"\xff" * 3 + b"\xd8\xff" * 20_000)["error"] != b""


def test_a_gif_of_many_frames_is_cut_after_the_first():
    still = FILES["gif"]
    frame = still[still.index(b"\x2c\0\0\0\0") : -1]
    bomb = still[:-1] + frame.replace(struct.pack("<HH", WIDTH, HEIGHT), b"\xff\xff\xff\xff", 1)
    np.testing.assert_array_equal(decode_image(bomb + b"\x3b"), reference(still))


def test_a_gif_frame_smaller_than_the_canvas_is_decoded_alone():
    position = FILES["gif"].index(b"\x2c\0\0\0\0")
    shifted = patch("gif", {6: struct.pack("<HH", 99, 99), position + 1: b"\x05\0\x07\0"})
    np.testing.assert_array_equal(decode_image(shifted), reference(FILES["gif"]))


def test_a_gif_frame_of_many_sub_blocks_is_decoded():
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    image_bytes = encode(Image.fromarray(noise), "GIF")
    np.testing.assert_array_equal(decode_image(image_bytes), reference(image_bytes))


@pytest.mark.parametrize("name", ["jpeg", "png_rgb", "gif", "bmp_24", "webp_alpha"])
def test_a_file_cut_anywhere_is_isolated(name):
    whole = FILES[name]
    cuts = tf.constant([whole[:length] for length in range(len(whole) + 1)])
    errors = inspect_rows(cuts).numpy()
    images, valid = map(np.asarray, decode_rows(cuts))
    assert errors[0].startswith(b"empty") and not errors[-1]
    assert valid[-1] and not valid[errors != b""].any()
    np.testing.assert_array_equal(images[-1], decode_image(whole))
    assert not images[~valid].any()
    for row in range(0, len(cuts), 1 + len(cuts) // 12):
        alone, alone_valid = decode_rows(cuts[row : row + 1])
        np.testing.assert_array_equal(alone[0], images[row])
        assert alone_valid[0] == valid[row]


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(FILES)),
    changes=st.dictionaries(st.integers(0, 400), st.binary(min_size=1, max_size=2), max_size=5),
)
def test_changed_bytes_never_raise_nor_spoil_other_rows(name, changes):
    changed = patch(name, changes)
    good = FILES["png_rgb"]
    inspect_rows(tf.constant([changed]))
    images, valid = decode_rows(tf.constant([good, changed, good]))
    assert valid.numpy()[0] and valid.numpy()[2]
    np.testing.assert_array_equal(images.numpy()[[0, 2]], [reference(good)] * 2)
    alone, alone_valid = decode_rows(tf.constant([changed]))
    np.testing.assert_array_equal(alone[0], images[1])
    assert alone_valid[0] == valid[1]


@settings(max_examples=60, deadline=None)
@given(
    prefix=st.sampled_from([b"", *sorted({image_bytes[:16] for image_bytes in FILES.values()})]),
    rest=st.binary(max_size=200),
)
def test_any_bytes_are_inspected(prefix, rest):
    header = inspect_image(prefix + rest)
    assert 1 <= header["orientation"] <= 8
    assert (header["error"] != b"") or (header["height"] > 0 and header["width"] > 0)


class Decoder(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        image, valid = decode_rows(image_bytes)
        return {"image": image, "valid": valid, "error": inspect_rows(image_bytes)}


def test_eager_pipeline_and_signature_are_equal(tmp_path):
    names = ["jpeg_grey", "png_rgba", "gif_animated", "bmp_8_palette", "webp_animated"]
    files = [with_orientation(3), *(FILES[name] for name in names)]
    eager = [decode_image(image_bytes).numpy() for image_bytes in files]
    pipeline = tf.data.Dataset.from_tensor_slices(files).map(decode_image)
    assert pipeline.element_spec.shape.as_list() == [None, None, 3]
    module = Decoder()
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](
        image_bytes=tf.constant([*files, b"no image"])
    )
    np.testing.assert_array_equal(list(pipeline.as_numpy_iterator()), eager)
    np.testing.assert_array_equal(served["image"][:-1], eager)
    assert served["valid"].numpy().tolist() == [True] * len(files) + [False]
    assert [bool(error) for error in served["error"].numpy()] == [False] * len(files) + [True]
