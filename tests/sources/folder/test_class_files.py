"""Files of class names: all supported formats, and error messages that quote the first entries."""

import json

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.folder import class_files
from embedonce.pipeline.sources.folder.class_files import read_class_map, read_classes

NAMES = ("open door", "cut bread", "wave")


def written(tmp_path, name: str, content: str):
    path = tmp_path / name
    path.write_text(content, "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.txt", "open door\ncut bread\n\n# remark\nwave\n"),
        ("c.txt", "\ufeffopen door\r\ncut bread\r\nwave"),
        ("c.names", "open door\ncut bread\nwave\n"),
        ("c.txt", "1 cut bread\n2 wave\n0 open door\n"),
        ("c.txt", "3 wave\n1 open door\n2 cut bread\n"),
        ("c.txt", "0: open door\n1: cut bread\n2: wave\n"),
        ("c.txt", "wave 2\nopen door 0\ncut bread 1\n"),
        ("c.txt", "0,open door\n2,wave\n1,cut bread\n"),
        ("c.txt", "0\topen door\n2\twave\n1\tcut bread\n"),
        ("c.csv", "open door\ncut bread\nwave\n"),
        ("c.csv", "name\nopen door\ncut bread\nwave\n"),
        ("c.csv", "id,name\n0,open door\n2,wave\n1,cut bread\n"),
        ("c.csv", "id,name\n40,wave\n7,open door\n9,cut bread\n"),
        ("c.csv", "folder,Class Name\nn01440764,open door\nn2,cut bread\nn3,wave\n"),
        ("c.csv", "video,action\nzz,open door\nyy,cut bread\nxx,wave\n"),
        ("c.csv", "n01440764,open door\nn01443537,cut bread\nn01484850,wave\n"),
        ("c.csv", "1;cut bread\n0;open door\n2;wave\n"),
        ("c.CSV", '"open door",x\n"cut bread",y\nwave,z\n'),
        ("c.tsv", "index\tlabel\n2\twave\n0\topen door\n1\tcut bread\n"),
        ("c.json", json.dumps(NAMES)),
        ("c.json", json.dumps({"1": "cut bread", "0": "open door", "2": "wave"})),
        ("c.json", json.dumps({"wave": 2, "open door": 0, "cut bread": 1})),
        ("c.json", json.dumps({"classes": NAMES})),
        ("c.json", json.dumps({"0": ["n01", "open door"], "1": ["n02", "cut bread"], "2": ["n03", "wave"]})),
        ("c.json", json.dumps([{"id": i, "name": NAMES[i - 4]} for i in (6, 4, 5)])),
        ("c.txt", json.dumps(NAMES)),
        ("c.yaml", "- open door\n- cut bread\n- wave\n"),
        ("c.yml", "names:\n  1: cut bread\n  2: wave\n  0: open door\n"),
        ("c.yaml", "{wave: 2, open door: 0, cut bread: 1}"),
    ],
)  # fmt: skip
def test_formats(tmp_path, name, content):
    assert read_classes(written(tmp_path, name, content)) == NAMES


def test_names_keep_their_commas_numbers_and_script(tmp_path):
    names = ("pick up, lift", "2 person lift", "écrire", "写字", "می\u200cدود")
    assert read_classes(written(tmp_path, "c.txt", "\n".join(names))) == names
    quoted = "".join(f'"{name}"\n' for name in names)
    assert read_classes(written(tmp_path, "c.csv", quoted)) == names


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.txt", "pick up, lift\nput down, drop\n", "'pick up, lift', 'put down, drop'.*name the file .csv"),
        ("c.txt", "a\tb\nc\td\n", "name the file .tsv"),
        ("c.txt", "2 person lift\n4 x 100 m\n", "number 2: 'person lift', number 4: 'x 100 m'"),
        ("c.txt", "open, cut, wave", "one line with commas"),
        ("c.txt", "'open'\n'cut'\n", "quoted or itemized"),
        ("c.txt", "- open\n- cut\n", "quoted or itemized"),
        ("c.txt", "class\nopen\ncut\n", "may be a header"),
        ("c.txt", "0 open\n1 open\n", "line 2: class 'open' is already on line 1"),
        ("c.yaml", "a: b\n", "neither from numbers to names"),
        ("c.yaml", "- open\n- on\n", r"values that are not names; it begins \[.open., true\]"),
        ("c.yml", "open: 1\nopen: 2\n", "line 2: it contains the key 'open' twice"),
        ("c.yml", "- [open\n", "not valid YAML .line 2"),
        ("c.xml", "<a/>\n", ".xml files are not supported"),
        ("c.csv", "id,name\n0,open\n0,cut\n", "'cut' has the number 0, which 'open' has"),
        ("c.csv", "name\n", "contains no class name"),
        ("c.csv", "1,2\n3,4\n", "no column has names"),
        ("c.csv", "a,b\nc\n", "line 2 has 1 columns, but other rows have 2"),
        ("c.csv", "id,name\n0,\n1,cut\n", "line 2: the name is empty"),
        ("c.json", "[1, 2]", r"values that are not names; it begins \[1, 2\]"),
        ("c.json", '{"n01": "open", "n02": "cut"}', '"n01": "open".*--class-names'),
        ("c.json", '{"a": 0, "a": 1}', "the key 'a' twice"),
        ("c.json", '{"a": 0, "b": 0}', "has the number 0"),
        ("c.json", '{"a": ', "not valid JSON"),
        ("c.json", "[" * 100_000, "too deep|not valid JSON"),
        ("c.json", "3", "neither a list nor a map"),
        ("c.json", "[]", "contains no class name"),
        ("c.json", '[{"x": "open"}]', "its records have no field"),
    ],
)
def test_unclear_class_files_are_refused(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read_classes(written(tmp_path, name, content))
    assert str(tmp_path / name) in str(caught.value) and len(str(caught.value)) < 500


def test_file_size_and_number_of_classes_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(class_files, "MAX_BYTES", 1 << 20)
    with pytest.raises(InputError, match="larger than 1 MB"):
        read_classes(written(tmp_path, "c.txt", "x" * (1 << 20) + "\n"))
    monkeypatch.setattr(class_files, "MAX_CLASSES", 2)
    with pytest.raises(InputError, match="3 classes; the maximum is 2"):
        read_classes(written(tmp_path, "d.txt", "a\nb\nc\n"))


FOLDERS = ("c07", "n01440764", "写")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", "folder,name\nn01440764,cut bread\n写,write\nc07,open door\nc99,not there\n"),
        ("m.csv", "c07,open door\nn01440764,cut bread\n写,write\nc99,not there\n"),
        ("m.csv", '# names\n"c07";"open door"\nn01440764;cut bread\n写;write\nc99;x\n'),
        ("m.tsv", "c07\topen door\nn01440764\tcut bread\n写\twrite\nc99\tx\n"),
        ("m.txt", "c07 open door\nn01440764 cut bread\n写 write\nc99 x, y\n"),
        ("m.json", json.dumps({"c07": "open door", "n01440764": "cut bread", "写": "write", "c99": "x"})),
        ("m.yaml", "c07: open door\nn01440764: cut bread\n写: write\nc99: x\n"),
    ],
)
def test_maps(tmp_path, name, content):
    path = written(tmp_path, name, content)
    names, notes = read_class_map(path, FOLDERS)
    assert names == ("open door", "cut bread", "write")
    assert notes == (f"{path}: 1 entries match no class of the data: 'c99'",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "c07,open\n写,write\n", "no class name for 1 of 3 .'n01440764'.; .*'c07' is 'open'; '写' is 'write'"),
        ("m.csv", "", "no class name for 3 of 3 .*understood: nothing"),
        ("m.csv", "c07,open,x\n", r"line 1 has 3 columns \(c07 | open | x\)"),
        (
            "m.csv",
            "c07,run\nn01440764,run\n写,write\n",
            "'c07' and 'n01440764' are both named 'run': classes are renamed, not",
        ),
        ("m.csv", "c07,run\nc07,walk\nn01440764,x\n写,write\n", "line 2: 'c07' is named 'walk' here, but 'run' before"),
        ("m.csv", "c07,\nn01440764,x\n写,write\n", "the row of 'c07': the name is empty"),
        ("m.json", "[1]", "must be a map"),
        ("m.yaml", "c07: open\nN01440764: cut\n写: on\n", "must be a map"),
        ("m.yaml", "c07: open\nN01440764: cut\n写: write\n", "'n01440764' .did you mean 'N01440764'"),
    ],
)
def test_unusable_maps(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        read_class_map(written(tmp_path, name, content), FOLDERS)


def test_codes_in_yaml_stay_as_they_are_written(tmp_path):
    path = written(tmp_path, "m.yaml", "0017: cut bread\non: switch on\n1e3: run\n2024-05-01: walk\n")
    names, notes = read_class_map(path, ("0017", "1e3", "2024-05-01", "on"))
    assert (names, notes) == (("cut bread", "run", "walk", "switch on"), ())


def test_entries_that_match_no_class_are_named_with_near_misses(tmp_path):
    path = written(tmp_path, "m.csv", "cut bread,cut\nCut_Bread,cutting bread\nwawe,waving\nwave,x\n")
    _, notes = read_class_map(path, ("cut bread", "wave"))
    expected = "'Cut_Bread' (did you mean 'cut bread'?), 'wawe' (did you mean 'wave'?)"
    assert notes == (f"{path}: 2 entries match no class of the data: {expected}",)


def test_the_class_map_of_imagenet_is_read(tmp_path):
    path = written(tmp_path, "m.txt", "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n")
    assert read_class_map(path, ("n01440764",))[0] == ("tench, Tinca tinca",)
