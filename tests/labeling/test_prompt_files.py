"""Files of prompts: text, JSON and YAML, the prompts of each class, and what is refused with which sentence."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.prompts import class_prompts, prompt_files
from embedonce.pipeline.labeling.prompts.class_prompts import prompts_of_file, prompts_sha256
from embedonce.pipeline.labeling.prompts.prompt_files import prompts_document, read_prompts

CLASSES = ("ApplyEyeMakeup", "cup_(red)", "TVRemote")


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def prompts(folder: Path, name: str, content: str, classes: tuple[str, ...] = CLASSES) -> tuple[tuple[str, ...], ...]:
    return prompts_of_file(classes, read_prompts(written(folder, name, content))).texts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", "# two templates\n\na photo of {}\n  {name}  \n"),
        ("p", "\ufeffa photo of {}\r\n{}"),
        ("p.txt", "a   photo of {name}\n{}\na photo of {}\n"),
        ("p.json", '["a photo of {}", "{}"]'),
        ("p.json", '{"templates": ["a photo\\n of {name}", "{}"]}'),
        ("p.yaml", '- a photo of {}\n- "{}"\n'),
        ("p.yml", "templates:\n- a photo of {name}\n- '{name}'\n"),
        ("p.YAML", "templates: [\"a photo of {}\", '{}']\n"),
    ],
)
def test_templates(tmp_path, name, content):
    assert prompts(tmp_path, name, content) == (
        ("a photo of apply eye makeup", "apply eye makeup"),
        ("a photo of cup", "cup"),
        ("a photo of tv remote", "tv remote"),
    )


def test_prompts_of_classes(tmp_path):
    value = {
        "ApplyEyeMakeup": ["lashes", "a brush near {}"],
        "cup_(red)": "a red cup",
        "TVRemote": ["a {{x}}", "b", "b"],
    }
    expected = (("lashes", "a brush near apply eye makeup"), ("a red cup",), ("a {x}", "b"))
    for content in (value, {"classes": value}):
        assert prompts(tmp_path, "p.json", json.dumps(content)) == expected
        assert prompts(tmp_path, "p.yaml", yaml.safe_dump(content)) == expected


def test_classes_without_prompts_of_their_own_get_the_templates_and_a_note(tmp_path):
    value = {"templates": ["a {}"], "classes": {"TVRemote": "buttons", "Cup (red)": ["x"], "zebra": ["x"]}}
    found = prompts_of_file(CLASSES, read_prompts(written(tmp_path, "p.json", json.dumps(value))))
    assert found.texts == (("a apply eye makeup",), ("a cup",), ("buttons",))
    assert (found.source, found.named) == ("p.json", ("ApplyEyeMakeup", "cup_(red)"))
    assert found.notes == (
        "p.json: prompts of 2 classes that the data do not have are not used: 'Cup (red)' (did you mean 'cup_(red)'?), "
        "'zebra'",
        "p.json: 2 classes have no prompts of their own, but the templates: 'ApplyEyeMakeup', 'cup_(red)' (did you "
        "mean 'Cup (red)'?)",
    )


def test_classes_without_prompts_are_refused_if_there_are_no_templates(tmp_path):
    with pytest.raises(InputError, match=r"no prompts for 2 of 3 classes .'ApplyEyeMakeup' \(did you mean 'Apply Eye"):
        prompts(tmp_path, "p.json", '{"Apply Eye Makeup": "x", "TVRemote": "y"}')


def test_keys_of_yaml_stay_as_they_are_written(tmp_path):
    assert prompts(tmp_path, "p.yaml", "on: a\n0017: b\n1e3: [c, d]\n", ("0017", "1e3", "on")) == (
        ("b",), ("c", "d"), ("a",)
    )  # fmt: skip


def test_a_class_may_be_called_classes(tmp_path):
    assert prompts(tmp_path, "p.json", '{"classes": ["a"], "x": "b"}', ("classes", "x")) == (("a",), ("b",))
    nested = '{"classes": {"templates": "a", "classes": "b"}}'
    assert prompts(tmp_path, "p.json", nested, ("classes", "templates")) == (("b",), ("a",))


REFUSED = {
    "no file": ("x.txt", None, "cannot read prompts from .*x.txt: No such file"),
    "encoding": ("x.txt", "a photo of {}".encode("utf-16"), "it is not UTF-8 text; give one template"),
    "table": ("x.csv", "a,b\n", r"\.csv files of prompts are not supported; give one template"),
    "empty": ("x.txt", "", "it contains no template"),
    "comments only": ("x.txt", "# a {}\n\n", "it contains no template"),
    "line": ("x.txt", "# x\na {}\n\na photo\n", "line 4: 'a photo' has no {} for the class name"),
    "field": ("x.txt", "a {foo}\n", "line 1: 'a {foo}' has the unknown placeholder {foo}; the class name is {} or"),
    "number": ("x.txt", "a {0}\n", "unknown placeholder {0}"),
    "format": ("x.txt", "a {name!r:>5}\n", "a placeholder with a format; the class name is"),
    "unbalanced": ("x.txt", "a {name\n", "line 1: 'a {name' has a brace without its counterpart; write {{ or }}"),
    "closing": ("x.txt", "a } {}\n", "a brace without its counterpart"),
    "control": ("x.txt", "a \x07 {}\n", "line 1: 'a .x07 {}' contains control characters"),
    "list in text": ("x.txt", "- a {}\n- b {}\n", "quoted or itemized"),
    "quotes in text": ("x.txt", "'a {}'\n\"b {}\"\n", "quoted or itemized"),
    "json in text": ("x.txt", '{"a": "b"}', "it looks like JSON: name the file .json"),
    "json": ("x.json", '["a {}"', r"not valid JSON \(line 1"),
    "twice": ("x.json", '{"a": "b", "a": "c"}', "the key 'a' twice"),
    "empty list": ("x.json", "[]", "the list is empty"),
    "empty map": ("x.json", "{}", "it contains no prompt"),
    "empty file": ("x.yaml", "", "it is empty, not a list of templates or a map"),
    "number alone": ("x.json", "3", "it is a number, not a list of templates or a map"),
    "text alone": ("x.json", '"a {}"', "it is text, not a list of templates or a map"),
    "entry": ("x.json", '["a {}", 3]', r"\[1\] is a number, not text"),
    "entry of a class": ("x.json", '{"cup": ["a", ["b"]]}', r"cup\[1\] is a list, not text"),
    "value of a class": ("x.json", '{"cup": true}', "cup is true or false, not a text or a list of texts"),
    "nothing of a class": ("x.yaml", "cup:\n", "cup is empty, not a text or a list of texts"),
    "no text of a class": ("x.json", '{"cup": ["a", " "]}', r"cup\[1\]: it is empty"),
    "no prompts of a class": ("x.json", '{"classes": {"cup": []}}', "classes.cup is empty"),
    "no classes": ("x.json", '{"classes": {}}', "classes is empty"),
    "classes": ("x.json", '{"templates": ["{}"], "classes": ["a"]}', "classes is a list, not a map from class names"),
    "no templates": ("x.json", '{"templates": []}', "templates is empty"),
    "template": ("x.json", '{"templates": ["{}", "a"]}', r"templates\[1\]: 'a' has no {} for the class name"),
    "key": ("x.json", '{"templates": ["{}"], "class": {}}', "unknown key 'class' .*; did you mean 'classes'?"),
    "other key": ("x.json", '{"templates": ["{}"], "cup": "x"}', "unknown key 'cup' .*; prompts of classes go under"),
    "mapping": ("x.yaml", "- {}\n", r"\[0\] is a mapping .put texts that contain braces or colons in quotes"),
    "colon": ("x.yaml", "- a photo: {}\n", r"\[0\] is a mapping .put texts"),
    "flow": ("x.yaml", "- {} in use\n", "not valid YAML .line 1: .*; put texts that contain braces"),
    "tag": ("x.yaml", "- !!binary abcd\n", "line 1: tag:yaml.org,2002:binary is not supported"),
    "key of yaml": ("x.yaml", "a: b\n? [c]\n: d\n", "line 2: a key is a list or a mapping, not text"),
    "twice in yaml": ("x.yaml", "a: b\na: c\n", "line 2: it contains the key 'a' twice"),
    "alias": ("x.yaml", "&a [*a]\n", "not valid YAML"),
    "deep": ("x.yaml", "[" * 100_000, "not valid YAML|nested too deeply"),
    "two documents": ("x.yaml", "- a {}\n---\n- b {}\n", "not valid YAML .line 2"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_mistakes_are_one_sentence(tmp_path, name, content, message):
    path = tmp_path / name if content is None else written(tmp_path, name, content)
    with pytest.raises(InputError, match=message) as caught:
        read_prompts(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="Is a directory"):
        read_prompts(tmp_path)


def test_sizes_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(prompt_files, "MAX_BYTES", 1 << 20)
    with pytest.raises(InputError, match="it is larger than 1 MB"):
        read_prompts(written(tmp_path, "x.txt", "x {}\n" * (1 << 18)))
    monkeypatch.setattr(class_prompts, "MAX_PROMPTS", 5)
    with pytest.raises(InputError, match="3 classes have 6 prompts; the maximum is 5"):
        prompts(tmp_path, "y.txt", "{}\na {}\n")


TEXTS = st.text(st.sampled_from("ab'\"{}-:#,. é写\\"), min_size=1, max_size=12).filter(str.strip)
LISTS = st.lists(TEXTS, min_size=1, max_size=4)


def sha256(path: Path, classes: tuple[str, ...]) -> str:
    return prompts_sha256(classes, prompts_of_file(classes, read_prompts(path)).texts)


@given(LISTS)
def test_the_same_templates_have_the_same_hash_in_every_format(tmp_path_factory, texts):
    templates = ["x" + text.replace("{", "{{").replace("}", "}}") + "{}" for text in texts]
    folder = tmp_path_factory.mktemp("p")
    contents = {
        "p.txt": "\n".join(templates),
        "p.json": json.dumps(templates),
        "q.json": json.dumps({"templates": templates}, ensure_ascii=False),
        "p.yaml": yaml.safe_dump(templates, allow_unicode=True),
        "q.yaml": yaml.safe_dump({"templates": templates}),
    }
    hashes = {sha256(written(folder, name, content), CLASSES) for name, content in contents.items()}
    hashes.add(
        sha256(written(folder, "r.txt", "\n".join(f"  {text.replace(' ', '  ')}" for text in templates)), CLASSES)
    )
    assert len(hashes) == 1
    assert sha256(written(folder, "s.txt", "\n".join([*templates, "y {}"])), CLASSES) not in hashes


@given(st.lists(LISTS, min_size=3, max_size=3))
def test_prompts_of_classes_are_the_same_when_written_and_read_again(tmp_path_factory, texts):
    """And in YAML. A hash belongs to the classes, too."""
    folder = tmp_path_factory.mktemp("p")
    wanted = tuple(tuple(dict.fromkeys(" ".join(text.split()) for text in own)) for own in texts)
    document = prompts_document(CLASSES, wanted)
    assert prompts(folder, "p.json", document.decode()) == wanted
    (folder / "p.yaml").write_text(yaml.safe_dump(json.loads(document)["classes"]))
    assert sha256(folder / "p.yaml", CLASSES) == prompts_sha256(CLASSES, wanted)
    assert prompts_sha256(CLASSES, wanted) != prompts_sha256(("a", "b", "c"), wanted)
