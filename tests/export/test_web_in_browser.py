"""The page of the format web in Chromium: the same frames, times and classes as PyTorch, from files and a camera."""

import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image

from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.clips.inference import predict
from embedonce.pipeline.export.facts import facts_of
from embedonce.pipeline.export.format import ExportInputs
from embedonce.pipeline.export.formats.web import WebPage
from embedonce.pipeline.frames.canonical_frame import canonical_size, crop
from embedonce.pipeline.frames.preprocessing import clip_seconds
from embedonce.pipeline.frames.views import evaluation_box
from embedonce.pipeline.video.color import Scaler
from tests.support.browser import find_chromium
from tests.support.devtools import Page, opened, served
from tests.support.fake_teacher import DIM
from tests.support.spliced_videos import patch_matrix
from tests.support.videos import write_video
from tests.support.web_runtime import real_runtime
from tests.test_example import FRAMES, RESOLUTION, VIDEOS, WINDOWS, cache_of, clips_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAMES = ("wide", "portrait", "transposed", "anamorphic", "v_uneven", "v_slow", "v_late")
READY = "document.getElementById('status').textContent === 'Ready.'"
DONE = "import('./main.js').then(({ state }) => state.run > 0 && !state.isRunning)"
RESULTS = """import('./main.js').then(({ state }) => state.results.map(
    ({ time, top, shares }) => ({ time, top, shares: [...shares] })))"""
PROBLEM = "!document.getElementById('problem').hidden && document.getElementById('problem').textContent"
INPUTS = """(async () => {{
  const {{ state }} = await import('./main.js');
  const {{ sampledFrames }} = await import('./video_file.js');
  const file = await (await fetch('{name}.mp4')).blob();
  const [worker] = state.encoders.workers;
  const inputs = [];
  for await (const {{ frame, times, look }} of sampledFrames(file, state.facts)) {{
    await worker.call('prepare', ['test', frame, look], [frame]);
    const [input] = await worker.call('discard', ['test']);
    inputs.push(...times.filter((time) => time < {end}).map(() => [...input]));
    if (times.at(-1) > {end}) break;
  }}
  return inputs;
}})()"""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> SimpleNamespace:
    """Videos, their cache, a student, and its page in the folder `web` with the videos beside it."""
    find_chromium()
    runtime_files = real_runtime()
    folder = tmp_path_factory.mktemp("browser")
    for name in NAMES:
        settings = dict(VIDEOS[name])
        video = write_video(folder / f"{name}.mp4", settings.pop("num_frames"), **settings)
        if "matrix" in settings:
            patch_matrix(video, *settings["matrix"])
    reader = cache_of(folder, list(NAMES), folder / "cache")
    torch.manual_seed(1)
    student = build_student(student_config("tiny", DIM, 2, RESOLUTION), pretrained=False).eval()
    student.head[-1].weight.data *= 30
    labels = reader.label_set()
    meta = checkpoint.new_checkpoint(student, labels, reader.identity.teacher, FRAMES)
    facts = facts_of(meta, reader.identity, clip_seconds(labels))
    frames = np.zeros((2, 3, RESOLUTION, RESOLUTION), np.uint8)
    for name, data in WebPage(runtime_files).write(ExportInputs.of(student, facts, frames)).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for video in folder.glob("*.mp4"):
        shutil.copy(video, folder / "web")
    return SimpleNamespace(folder=folder, reader=reader, student=student, labels=labels)


@pytest.fixture(scope="module")
def page(world, tmp_path_factory):
    """The page, ready."""
    with served(world.folder / "web") as address, opened(tmp_path_factory.mktemp("chromium")) as page:
        page.open(address)
        page.wait(READY)
        yield page
        elsewhere = [url for url in page.requests if not url.startswith((address, f"blob:{address}", "data:"))]
        assert elsewhere == [] and page.requests
        expected = ("No available adapters", "blob:")  # no WebGPU; files that are no videos
        assert [text for text in page.complaints if not any(part in text for part in expected)] == []


def recognized(page: Page, video: Path) -> list[dict]:
    """Results of a file that is chosen."""
    before = page.run("import('./main.js').then(({ state }) => state.run)")
    page.choose_file("#file", video)
    page.wait(f"import('./main.js').then(({{ state }}) => state.run > {before} && !state.isRunning)")
    assert page.run(PROBLEM) is False
    return page.run(RESULTS)


def test_a_chosen_file_gets_the_classes_of_pytorch(world, page):
    """At the end of a clip of the typical duration, the page has the prediction of evaluate for it."""
    clips = clips_of(world.reader)
    expected = predict(world.student, clips, 4, 0, torch.device("cpu"))
    shares = np.exp(expected.logits) / np.exp(expected.logits).sum(1, keepdims=True)
    usual = WINDOWS[0][1]
    compared = [i for i, clip in enumerate(clips.clips) if (clip.start_sec, clip.end_sec) == (0, usual)]
    same = 0
    for index in compared:
        results = recognized(page, world.folder / f"{clips.clips[index].video_uid}.mp4")
        at = next(result for result in results if result["time"] > usual - 0.21)
        same += at["top"] == expected.logits[index].argmax()
        np.testing.assert_allclose(at["shares"], shares[index], atol=0.15)  # its frames have not been through JPEG
    assert len(compared) == len(NAMES) - 1 and same >= len(compared) - 1


@pytest.mark.parametrize("name", NAMES)
def test_pixels_equal_those_of_extraction_before_jpeg(world, page, name):
    start = 2 if name == "v_late" else 0
    found = inputs_of(page, name, start + 0.1)
    assert len(found) == 1
    wrong = np.abs(found[0] - first_input(world.folder / f"{name}.mp4", name))
    assert wrong.max() <= 1 and wrong.mean() < 0.05


def inputs_of(page: Page, name: str, end: float) -> np.ndarray:
    """(N, 3, R, R): what the student gets for the sampled times before `end`."""
    found = page.run(INPUTS.format(name=name, end=end))
    return np.array(found).reshape(-1, 3, RESOLUTION, RESOLUTION)


@pytest.mark.parametrize("name", ["wide", "v_uneven", "v_slow"])
def test_frames_are_those_of_the_cache(world, page, name):
    """Neighboring frames have other noise: a frame too early or too late differs far more than by its JPEG."""
    clips, usual = clips_of(world.reader), WINDOWS[0][1]
    index = next(i for i, c in enumerate(clips.clips) if (c.video_uid, c.start_sec, c.end_sec) == (name, 0, usual))
    found = inputs_of(page, name, usual)
    bounds = np.linspace(0, len(found), FRAMES + 1)
    chosen = found[((bounds[:-1] + bounds[1:]) / 2).astype(int)]
    assert np.abs(chosen - clips[index]["frames"].numpy().astype(int)).mean((1, 2, 3)).max() < 8


def first_input(video: Path, name: str = "") -> np.ndarray:
    """(3, R, R): the first frame as training prepares it, without JPEG."""
    with av.open(str(video)) as container:
        frame = next(container.decode(video=0))
        aspect = float(container.streams.video[0].sample_aspect_ratio or 1)
    image = Scaler()(frame, canonical_size(frame.height, frame.width * aspect, short_side=256))
    turned = image.swapaxes(0, 1) if name == "transposed" else np.rot90(image, round(frame.rotation / 90))
    upright = Image.fromarray(np.ascontiguousarray(turned))
    box = evaluation_box((upright.height, upright.width))
    return crop(upright, np.array([*box, 0, 3]), RESOLUTION).transpose(2, 0, 1).astype(int)


@pytest.mark.parametrize("name", ["wide", "v_uneven", "v_slow", "v_late"])
def test_times_are_those_of_the_cache(world, page, name):
    results = recognized(page, world.folder / f"{name}.mp4")
    times = world.reader.timeline(name).t_sec  # of its windows only
    assert [result["time"] for result in results[: len(times)]] == pytest.approx(times, abs=1e-3)


def test_files_without_an_index_are_sought(world, page, tmp_path):
    video = write_video(tmp_path / "v.webm", 60, codec="libvpx", size=(240, 320), b_frames=None, ticks=1000)
    results = recognized(page, video)
    assert [result["time"] for result in results] == pytest.approx(np.arange(10) / 5, abs=1e-6)


def test_what_is_found_is_shown_and_can_be_reached_by_keyboard(world, page):
    results = recognized(page, world.folder / "wide.mp4")
    shown = page.run("document.body.innerText")
    assert f"Done: {len(results)} frames" in shown and "frames per second" in shown and "Runs with WASM" in shown
    classes = page.run("[...document.querySelectorAll('#segments button')].map((item) => item.innerText)")
    changes = sum(a["top"] != b["top"] for a, b in itertools.pairwise(results))
    assert len(classes) == changes + 1 and all("cut" in text or "stir" in text for text in classes)
    focused = set()
    for _ in range(12 + len(classes)):
        page.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", windowsVirtualKeyCode=9)
        focused.add(page.run("document.activeElement.id || document.activeElement.parentElement?.parentElement?.id"))
    assert {"file", "camera", "segments", "save"} <= focused


def test_a_file_that_is_chosen_during_a_run_takes_its_place(world, page):
    expected = recognized(page, world.folder / "v_slow.mp4")
    for name in ("wide", "v_uneven"):
        page.choose_file("#file", world.folder / f"{name}.mp4")
        page.wait("import('./main.js').then(({ state }) => state.encoders.times.prepare > 0)")
    found = recognized(page, world.folder / "v_slow.mp4")
    assert [result["time"] for result in found] == [result["time"] for result in expected]
    shares = [np.array([result["shares"] for result in results]) for results in (expected, found)]
    np.testing.assert_allclose(*shares, atol=1e-5)


def test_results_are_saved_as_csv(world, page):
    results = recognized(page, world.folder / "v_slow.mp4")
    script = """Promise.all([import('./main.js'), import('./display.js')]).then(
        ([{ state }, { asCsv }]) => asCsv(state.results, ['a "quoted", name', 'stir']))"""
    head, *lines = page.run(script).splitlines()
    assert head == "time_seconds,class,probability" and len(lines) == len(results)
    assert {line.split(",", 1)[1].rpartition(",")[0] for line in lines} <= {'"a ""quoted"", name"', '"stir"'}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.mp4", b"hello", "text.mp4 is not a video, or its codec is not supported by this browser."),
        ("empty.mp4", b"", "empty.mp4 is not a video, or its codec is not supported by this browser."),
    ],
)
def test_a_file_without_video_is_reported_in_one_sentence(world, page, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    page.choose_file("#file", tmp_path / name)
    assert page.wait(PROBLEM) == message
    recognized(page, world.folder / "v_slow.mp4")  # the page still works


def test_a_truncated_file_is_reported(page, tmp_path):
    video = write_video(tmp_path / "v.mp4", 60, size=(240, 320), mux={"movflags": "faststart"})
    video.write_bytes(video.read_bytes()[:-20000])
    page.choose_file("#file", video)
    assert page.wait(PROBLEM) == "This video file is truncated."


def test_a_refused_camera_is_reported(page):
    page.run("document.getElementById('camera').click()")
    assert "camera" in page.wait(PROBLEM).lower()


def test_a_camera_gets_the_class_of_its_picture(world, tmp_path):
    """A camera that shows one frame again and again: every prediction is that of PyTorch for this frame."""
    still = tmp_path / "still.mp4"
    with av.open(str(world.folder / "wide.mp4")) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    write_y4m(tmp_path / "still.y4m", image)
    frame = np.asarray(Image.fromarray(image).resize((456, 256), Image.Resampling.BICUBIC))
    square = Image.fromarray(frame[:, 100:356]).resize((RESOLUTION, RESOLUTION), Image.Resampling.BICUBIC)
    expected = probabilities(world.student, np.asarray(square).transpose(2, 0, 1))
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    fake += (f"--use-file-for-fake-video-capture={still.with_suffix('.y4m')}",)
    with served(world.folder / "web") as address, opened(tmp_path, *fake) as page:
        page.open(address)
        page.wait(READY)
        page.run("document.getElementById('camera').click()")
        page.wait("import('./main.js').then(({ state }) => state.results.length >= 3)")
        page.run("document.getElementById('stop').click()")
        results = page.run(RESULTS)
    gaps = np.diff([result["time"] for result in results])
    assert results[0]["time"] == 0 and gaps.min() > 0.1
    assert results[0]["top"] == expected.argmax()
    np.testing.assert_allclose(results[0]["shares"], expected, atol=0.1)


def write_y4m(path: Path, image: np.ndarray) -> None:
    """A raw video of three equal frames."""
    planes = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p").to_ndarray().tobytes()
    height, width = image.shape[:2]
    head = f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode()
    path.write_bytes(head + 3 * (b"FRAME\n" + planes))


@torch.inference_mode()
def probabilities(student, frame: np.ndarray) -> np.ndarray:
    """Of the classes of a clip of this frame alone."""
    frames = torch.from_numpy(np.ascontiguousarray(frame))[None, None]
    output = student(frames, torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))
    return torch.softmax(output.clip_logits, -1)[0].numpy()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": []}, "This student was trained without classes: it has embeddings only, and no classes to show."),
        ({"check": {"embedding": [0.0] * DIM}}, "has a cosine of 0 with the right one"),
        (None, "student.json is missing from this page's folder: export the student again."),
    ],
)
def test_a_page_that_cannot_work_is_reported(world, tmp_path, change, message):
    folder = altered(world, tmp_path / "web", change or {})
    if change is None:
        (folder / "student.json").unlink()
    with served(folder) as address, opened(tmp_path) as page:
        page.open(address)
        assert message in page.wait(PROBLEM)


def altered(world, folder: Path, change: dict) -> Path:
    """A copy of the page of a student with other facts."""
    shutil.copytree(world.folder / "web", folder, ignore=shutil.ignore_patterns("*.mp4"))
    document = json.loads((folder / "student.json").read_text())
    (folder / "student.json").write_text(json.dumps(document | change))
    return folder


def test_classes_of_clips_with_several_labels_have_a_probability_each(world, tmp_path):
    folder = altered(world, tmp_path / "web", {"multi_label": True})
    with served(folder) as address, opened(tmp_path) as page:
        page.open(address)
        page.wait(READY)
        found = np.array([result["shares"] for result in recognized(page, world.folder / "v_slow.mp4")])
    assert ((found > 0) & (found < 1)).all() and np.abs(found.sum(1) - 1).max() > 0.01


def test_webgpu_gives_the_results_of_wasm(world, page, tmp_path):
    """WebGPU in software, which the page would not choose by itself."""
    expected = recognized(page, world.folder / "v_slow.mp4")
    software = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
    software += ("--use-vulkan=swiftshader", "--ignore-gpu-blocklist")
    with served(world.folder / "web") as address, opened(tmp_path, *software, without=("--disable-gpu",)) as other:
        other.open(f"{address}?backend=webgpu")
        other.wait(READY)
        if (backend := other.run("document.getElementById('backend').textContent")) != "Runs with WebGPU.":
            pytest.skip(backend)
        found = recognized(other, world.folder / "v_slow.mp4")
    shares = [np.array([result["shares"] for result in results]) for results in (expected, found)]
    np.testing.assert_allclose(*shares, atol=1e-3)


def test_a_page_opened_as_a_file_says_how_to_serve_it(world, tmp_path):
    with opened(tmp_path) as page:
        page.open((world.folder / "web" / "index.html").as_uri())
        shown = "getComputedStyle(document.getElementById('unserved')).visibility === 'visible'"
        page.wait(f"document.readyState === 'complete' && {shown}")
        assert "python -m http.server 8000" in page.run("document.getElementById('unserved').innerText")
