"""The examples for phones: short, reading settings that exports have, and preparing frames as the pipeline does."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from embedonce.cache.schema import INTERPOLATIONS
from embedonce.pipeline.frames.canonical_frame import crop
from embedonce.pipeline.frames.views import evaluation_box
from tests.support.documentation import ROOT
from tests.support.export_facts import make_facts

ANDROID, IOS = ROOT / "examples" / "android", ROOT / "examples" / "ios"
SOURCES = (ANDROID / "Frames.java", ANDROID / "Student.kt", IOS / "Frames.swift", IOS / "Student.swift")
COMMENT = re.compile(r"\s*(//|/\*\*?|\*)")
# Reads PIXELS (width, height, then one ARGB number each) and writes the bytes of the input
MAIN = """
import java.nio.file.*;
class Main {
    public static void main(String[] words) throws Exception {
        var numbers = Files.readString(Path.of(words[0])).split(" ");
        int[] pixels = java.util.Arrays.stream(numbers, 2, numbers.length).mapToInt(Integer::parseInt).toArray();
        boolean isSquare = words[3].equals("square"), isCubic = words[4].equals("cubic");
        var frames = new Frames(64, 48, Double.parseDouble(words[2]), isSquare, isCubic);
        int width = Integer.parseInt(numbers[0]), height = Integer.parseInt(numbers[1]);
        Files.write(Path.of(words[1]), frames.input(pixels, width, height));
    }
}
"""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_examples_are_short(path):
    lines = path.read_text().splitlines()
    assert sum(bool(line.strip()) and not COMMENT.match(line) for line in lines) <= 60
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (ANDROID / "Student.kt", r'(?:facts|preprocessing)\s*\.get\w+\("(\w+)"\)'),
        (IOS / "Student.swift", r'(?:facts|preprocessing)\["(\w+)"\]'),
    ],
    ids=["Kotlin", "Swift"],
)
def test_examples_read_settings_that_exports_have(path, key):
    facts = make_facts().as_dict()
    read = set(re.findall(key, path.read_text()))
    assert {"preprocessing", "classes", "frames_per_clip", "clip_seconds"} <= read
    assert read <= facts.keys() | facts["preprocessing"].keys()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A folder with the example's classes and a program that calls them."""
    if shutil.which("javac") is None:
        pytest.skip("no JDK is installed")
    folder = tmp_path_factory.mktemp("java")
    (folder / "Main.java").write_text(MAIN)
    subprocess.run(["javac", "-d", folder, ANDROID / "Frames.java", folder / "Main.java"], check=True)
    return folder


@pytest.mark.integration
@pytest.mark.parametrize(
    ("size", "fraction", "mode", "interpolation"),
    [
        ((120, 90), 1.0, "shortest", "bicubic"),
        ((90, 161), 0.875, "shortest", "bilinear"),
        ((60, 44), 1.0, "squash", "bicubic"),
    ],
)
def test_the_android_example_prepares_frames_as_pillow_does(compiled, size, fraction, mode, interpolation):
    width, height = size
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    expected = prepared(Image.fromarray(image), fraction, mode, interpolation)
    argb = (image.astype(np.int64) @ [1 << 16, 1 << 8, 1]) - (1 << 24)  # opaque: the highest byte is 255
    (compiled / "pixels").write_text(" ".join(map(str, [width, height, *argb.flatten()])))
    words = [str(fraction), "square" if mode == "shortest" else "whole", "cubic" if interpolation == "bicubic" else ""]
    paths = (compiled / "pixels", compiled / "input")
    subprocess.run(["java", "-cp", compiled, "Main", *paths, *words], check=True)
    found = np.frombuffer((compiled / "input").read_bytes(), np.uint8).reshape(3, 48, 48).transpose(1, 2, 0)
    assert np.abs(found.astype(int) - expected).max() <= 1


def prepared(image: Image.Image, fraction: float, mode: str, interpolation: str) -> np.ndarray:
    """(48, 48, 3) uint8: the canonical frame with a short side of 64 pixels, resized by Pillow, and its crop."""
    across, down = (64 + 2 * round((side * 64 / min(image.size) - 64) / 2) for side in image.size)
    frame = image.resize((across, down), Image.Resampling.BICUBIC)
    box = evaluation_box((down, across), mode, fraction)
    return crop(frame, np.array([*box, 0, INTERPOLATIONS[interpolation]], np.int32), 48)
