"""The report of an evaluation: all figures, nothing loaded, everything escaped; checked in a real browser, too."""

import base64
import dataclasses
import html
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from embedonce.pipeline.metrics.results_schema import EvaluationResults
from embedonce.pipeline.reporting.html.charts import line_chart
from embedonce.pipeline.reporting.html.choice import choose, who_is_right
from embedonce.pipeline.reporting.html.comparison import headline
from embedonce.pipeline.reporting.html.curves import columns_of, training_section
from embedonce.pipeline.reporting.html.examples import Example, cards, example
from embedonce.pipeline.reporting.html.heat_map import frequent_confusions, most_confused
from embedonce.pipeline.reporting.html.markup import NO_BREAK
from embedonce.pipeline.reporting.html.report import report, report_page
from tests.support.browser import find_chromium, visit
from tests.support.report_data import TRAINING_LOG, held_out_dataset, predictions_for, results_for
from tests.support.tiny_cache import make_tiny_cache

HOSTILE = ("<script>alert(1)</script>", "a & b \"quoted\" 'name'", "</title><img src=x onerror=alert(2)>")


def typed(results: dict) -> EvaluationResults:
    return EvaluationResults.from_dict(results)


def nothing_measured(results: dict) -> dict:
    """The same results with nothing timed, no labels and no logits."""
    costs = ("latency_ms", "throughput_per_s", "macs", "peak_memory_bytes")
    known = ("top1", "top5", "mean_class_accuracy", "top1_interval", "mean_class_interval", "calibration_error")
    nothing = dict.fromkeys((*costs, *known)) | {"reliability": []}
    compared = dict.fromkeys(results["comparison"]) | {"compression": 0.5, "embedding_cosine": 0.8765}
    return results | {
        "teacher": results["teacher"] | nothing,
        "student": results["student"] | nothing | {"zero_shot_top1": None},
        "comparison": compared,
        "reference": None,
        "num_labelled_clips": 0,
        "per_class": [],
        "confusion": {"teacher": [], "student": []},
        "chance": None,
        "note": "random teacher: this exercises the machinery",
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    dataset = held_out_dataset(make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache"))
    found = predictions_for(dataset.label_array, len(HOSTILE))
    return dataset, found, results_for(found, HOSTILE)


@pytest.fixture(scope="module")
def written(data, tmp_path_factory):
    dataset, found, results = data
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(report(typed(results), found, dataset, TRAINING_LOG))
    return path


class Page(HTMLParser):
    """Elements with their attributes, and the text outside style."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += "" if "style" in self.open else data


@pytest.fixture(scope="module")
def page(written) -> Page:
    return Page(written.read_text())


# -- its figures ----------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_every_figure_of_the_results_is_in_the_report(page):
    figures = (
        "90.4 %|87.5 %|83.1 to 95.2|79.3 to 93.2|93.5 %|90.6 %|88.2 %|85.2 %|81.3 %|0.046|0.123|2.9 points lost|"
        "1.2 to 4.8|66× fewer|81.2 %|71.2 to 90.5|93.8 %|0.457 nats|0.876|13× faster|87.85 M|151.28 M|1.32 M|1.46 M|"
        "0.95 M|0.37 M|351.4 MB|605.1 MB|5.3 MB|5.8 MB|66× smaller|104× smaller|224|192|88.4 ms|97.6 ms|6.7 ms|7.9 ms|"
        "1,234.5 / s|4,321.1 / s|3.5× more|4,410.00 M|293.00 M|15× fewer|811.0 MB|93.6 MB|8.7× less|"
        "86.19 M|344.8 MB|4,408.00 M|93.8 ms|101.1 ms|12.3 / s|14× faster|"
        "12 val clips of 4 recordings|12 of them labeled|"
        "3 classes, chance 33.3 %|ViT-B-32|openai|zero-shot|xxs|3.11.9|0.5, 1.25|best.pt"
    )
    text = page.text.replace(NO_BREAK, " ")
    assert [figure for figure in figures.split("|") if figure not in text] == []
    assert "not measured" not in text and "None" not in text and "nan" not in text.split()


def test_the_content_security_policy_forbids_loading_and_scripts(page):
    (policy,) = (a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_every_class_and_confusion_is_in_the_report(page, data):
    _, found, results = data
    for entry in results["per_class"]:
        assert entry["class"] in page.text and f"{100 * entry['top1']:.1f}{NO_BREAK}%" in page.text
    for side in ("teacher", "student"):
        for true, predicted, clips in results["confusion"][side]:
            words = (
                f"{HOSTILE[true]} predicted as {HOSTILE[predicted]}"
                if true != predicted
                else f"{HOSTILE[true]}: correct"
            )
            assert f"{words}, {clips} of 4 clips" in page.text
    assert f"both models are right on {who_is_right(found)['both']}" in page.text


def test_clips_are_shown_with_their_frames(page, data):
    dataset, found, _ = data
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    choice = choose(found, 8)
    assert len(images) == 4 * len(choice.worst + choice.best) and len(choice.worst + choice.best) == 12
    for attributes in images:
        kind, data_bytes = attributes["src"].split(",")
        image = Image.open(io.BytesIO(base64.b64decode(data_bytes)))
        assert kind == "data:image/jpeg;base64" and max(image.size) <= 150 and "frame of v" in attributes["alt"]
    clip = dataset.clips[choice.worst[0]]
    assert f"{clip.video_uid}, {clip.start_sec:.2f} to {clip.end_sec:.2f} s" in page.text


def test_missing_figures_are_shown_as_not_measured(data):
    _, found, results = data
    bare = nothing_measured(results)
    found = dataclasses.replace(found, labels=np.full_like(found.labels, -1))
    page = Page(report_page(typed(bare), None, "", found))
    assert page.text.count("not measured") == 23 and "None" not in page.text
    assert "random teacher: this exercises the machinery" in page.text and "no labeled clips" in page.text
    assert "There is no training log in the checkpoint's folder" in page.text
    assert headline(typed(bare)) == "Cosine with the teacher's embeddings 0.876, 2.0× more parameters."


def test_a_cache_without_labels_and_classes_has_a_report(data, tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 4, labeled=False, logits=False, classes=False)
    dataset, found = held_out_dataset(cache), predictions_for(np.full(6, -1), 0)
    results = nothing_measured(data[2]) | {"classes": [], "num_classes": 0, "num_clips": len(dataset)}
    (tmp_path / "report.html").write_bytes(report(typed(results), found, dataset, None))
    page = Page((tmp_path / "report.html").read_text())
    assert page.text.count("label: none") == 6 and "smallest cosine with the teacher" in page.text
    assert "nan" not in page.text.split()


def test_a_teacher_without_logits_has_no_confusions(data):
    _, found, results = data
    found = dataclasses.replace(found, teacher_logits=found.teacher_logits[:, :0])
    changed = results | {"confusion": results["confusion"] | {"teacher": []}}
    page = report_page(typed(changed), None, cards([example(data[0], found, 0)], HOSTILE), found)
    assert "<b>teacher</b> has no class logits" in page and "Confusions of the teacher" not in page
    assert "<td>–</td><td>" in page[page.index("Most frequent") :] and "both models are right" not in page


def test_the_headline_has_only_measured_figures(data):
    results = data[2]
    expected = (
        "Top-1 87.5 %, and 90.4 % for the teacher: 2.9 points lost (95 % interval: 1.2 to 4.8), 66× fewer parameters, "
    )
    assert headline(typed(results)).replace(NO_BREAK, " ") == expected + "13× faster."
    changes = {"accuracy_drop_points": -0.5, "accuracy_drop_interval": [-2.0, 1.0], "latency_ratio": 0.5}
    changed = headline(typed(results | {"comparison": results["comparison"] | changes})).replace(NO_BREAK, " ")
    assert "0.5 points gained (95 % interval: 2.0 gained to 1.0 lost)" in changed and changed.endswith("2.0× slower.")
    changes = {"accuracy_drop_interval": None, "latency_ratio": None}
    changed = headline(typed(results | {"comparison": results["comparison"] | changes})).replace(NO_BREAK, " ")
    assert changed.endswith("2.9 points lost, 66× fewer parameters.")


# -- safety -------------------------------------------------------------------------------------------


def test_the_report_loads_nothing(written, page):
    text = written.read_text()
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "base", "form"} == set()
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert attributes.get("src", "data:").startswith("data:") and attributes.get("href", "#").startswith("#")
    anchors = {attributes["href"][1:] for tag, attributes in page.elements if tag == "a"}
    assert anchors == {attributes["id"] for tag, attributes in page.elements if tag == "section"}
    assert page.open == [] and len(text) < 3_000_000


def test_hostile_names_are_escaped(written, data):
    text = written.read_text()
    for name in HOSTILE:
        assert html.escape(name) in text and (name not in text)
    shown = Example("<b>uid</b>", 0.0, 1.0, (0,), True, ((0, 0.7),), ((2, 0.6),), ())
    assert "<b>uid" not in cards([shown], HOSTILE) and "&lt;b&gt;uid" in cards([shown], HOSTILE)
    _, found, results = data
    hostile = dict.fromkeys(("name", "weights", "head"), HOSTILE[2])
    changed = results | {
        "teacher": results["teacher"] | hostile,
        "student": results["student"] | {"size": HOSTILE[0]},
        "note": HOSTILE[0],
        "split": HOSTILE[0],
        "environment": {HOSTILE[0]: {HOSTILE[2]: [HOSTILE[0]]}},
    }
    log = TRAINING_LOG.replace("selection_cosine", "selection_<script>")
    assert not re.search("<script|<img", report_page(typed(changed), log, "", found))


# -- choices --------------------------------------------------------------------------------------------------


def test_example_clips_are_chosen_by_cross_entropy_divergence_or_cosine():
    labels = np.array([0, 0, 1, 1, 2, -1])
    logits = np.array([[9, 0, 0], [8, 0, 0], [0, 3, 0], [5, 0, 0], [7, 0, 0], [0, 0, 9]], np.float32)
    found = dataclasses.replace(predictions_for(labels, 3), logits=logits)
    choice = choose(found, 2)
    assert choice.worst == (4, 3) and choice.best == (0, 2)  # of class 0 the surest, then class 1; never the unlabeled
    assert choose(found, 9).best == (0, 2, 1)
    unlabeled = dataclasses.replace(found, labels=np.full(6, -1), teacher_logits=logits[[0, 1, 2, 3, 2, 5]])
    assert choose(unlabeled, 2).worst[0] == 4 and "divergence" in choose(unlabeled, 2).worst_by
    assert who_is_right(unlabeled) is None
    no_logits = dict.fromkeys(("logits", "teacher_logits"), np.zeros((6, 0), np.float32))
    cosines = np.array([0.5, 0.9, 0.1, 0.7, 0.2, 0.6])
    turned = np.stack([cosines, np.sqrt(1 - cosines**2)], 1)
    bare = dataclasses.replace(unlabeled, **no_logits, embeddings=turned, teacher_embeddings=np.eye(2)[[0] * 6])
    assert choose(bare, 2).worst == (2, 4) and choose(bare, 2).best == (1, 3) and "cosine" in choose(bare, 2).best_by
    assert choose(bare, 8).worst == (2, 4, 0) and choose(bare, 8).best == (1, 3, 5)


def test_the_most_confused_of_many_classes_are_shown(data):
    confusion = [[7, 7, 50], [40, 3, 9], [3, 40, 1], [12, 11, 2]]
    assert most_confused([confusion], 50, 4) == [3, 11, 12, 40]
    assert most_confused([confusion], 4, 4) == [0, 1, 2, 3]
    assert frequent_confusions(confusion, 2) == [(40, 3, 9), (12, 11, 2)]
    classes = tuple(f"class {number}" for number in range(50))
    found = predictions_for(np.arange(100) % 50, 50)
    text = Page(report_page(typed(results_for(found, classes)), None, "", found)).text
    assert "Only the 30 of 50 classes" in text and "20 more classes" in text and "class 49" in text


def test_gaps_and_unreadable_logs():
    columns = columns_of(TRAINING_LOG)
    assert columns["selection_top1"] == [0.25, None, 0.75] and columns["selection_cosine"] == [0.5, 0.71, None]
    section = training_section(TRAINING_LOG)
    assert section.count("<figure>") == 3 and "selection clips" in section
    for log in ("", "epoch\n", "epoch,total\nx,1\n", "no,log\n1,2\n", "\x00\x01", "epoch," + "x" * 200_000):
        assert "cannot be read" in training_section(log)
    assert "cosine ends at 0.7" in training_section("epoch,total,selection_top1,selection_cosine\n1,0.5,,0.7\n")
    gap = line_chart("t", [("a", [1.0, None, 3.0])], [1, 2, 3], "epoch")
    assert re.search(r'd="M[\d. ]+M[\d. ]+"', gap) and "ends at 3" in gap
    assert "logarithmic" in line_chart("t", [("a", [1.0, 100.0])], [1, 2], "epoch")
    assert line_chart("t", [("a", [None])], [1], "epoch") == ""


# -- in a browser ----------------------------------------------------------------------------------------------------

HARNESS = """<!doctype html><title>harness</title><img src="http://control.invalid/x.png"><pre id="out"></pre>
<script>console.error("control");
let left = 0, found = [];
function frame(width, text) {
  const f = document.createElement("iframe"); f.width = width; f.height = 900; f.style.border = 0; left++;
  f.onload = () => { const d = f.contentDocument, r = d.documentElement;
    const own = [...d.querySelectorAll("body *")].filter(e => !e.closest(".wide,svg.hidden"));
    const out = own.filter(e => e.getBoundingClientRect().right > r.clientWidth + 1).map(e => e.tagName);
    const broken = [...d.images].filter(i => !i.complete || !i.naturalWidth).length;
    found.push([width, r.scrollWidth - r.clientWidth, d.images.length, broken, out.join(" ")].join(","));
    document.getElementById("out").textContent = found.sort().join(";"); };
  f.srcdoc = text; document.body.append(f); }
for (const text of [%s]) for (const width of [390, 1200]) frame(width, atob(text));
frame(300, "<body style='margin:0'><p style='width:500px'>control");
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    return find_chromium()


@pytest.mark.browser
def test_a_browser_loads_the_report_without_messages_or_requests(chromium, written, tmp_path):
    seen = visit(chromium, written, tmp_path, f"--screenshot={tmp_path / 'shot.png'}", "--window-size=1200,2000")
    assert seen.console == ()
    assert Page(seen.dom).text.count("alert(1)") > 10 and "<script" not in seen.dom
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB"))
    assert shot.shape == (2000, 1200, 3) and shot.std() > 10  # something was drawn


@pytest.fixture(scope="module")
def overlong() -> str:
    """A page of 40 classes whose names, and all other names, have no place to break."""
    classes = tuple(f"{number}{'unbroken' * 12}" for number in range(40))
    found = predictions_for(np.arange(120) % 40, 40)
    results = results_for(found, classes) | {"note": "n" * 200, "environment": {"e" * 90: "v" * 200}}
    results["teacher"] |= {"name": "t" * 120, "weights": "w" * 120}
    results["student"] |= {"size": "s" * 120}
    shown = Example("u" * 200, 0.0, 1.0, (0,), True, ((0, 0.7), (1, 0.2)), ((2, 0.6), (3, 0.3)), ())
    return report_page(typed(results), TRAINING_LOG, cards([shown] * 3, classes), found)


@pytest.mark.browser
def test_the_report_fits_a_phone_and_a_desktop(chromium, written, overlong, tmp_path):
    """The harness asks for a picture, writes to the console and has a page too wide: all that would be noticed."""
    pages = (text.encode("ascii", "xmlcharrefreplace") for text in (written.read_text(), overlong))
    quoted = ", ".join(f'"{base64.b64encode(text).decode()}"' for text in pages)
    (tmp_path / "harness.html").write_text(HARNESS % quoted)
    seen = visit(chromium, tmp_path / "harness.html", tmp_path)
    assert seen.requests == ("http://control.invalid/x.png",) and len(seen.console) == 1
    (found,) = re.findall('<pre id="out">(.*?)</pre>', seen.dom)
    # width, overflow in pixels, images, broken ones, what juts out
    assert found.split(";") == ["1200,0,0,0,", "1200,0,48,0,", "300,200,0,0,P", "390,0,0,0,", "390,0,48,0,"]
