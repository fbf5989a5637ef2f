"""Analysis of class names, and the checks before a text encoder reads them."""

import numpy as np
import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.class_checks import check_classes, check_vectors, coinciding
from embedonce.pipeline.labeling.prompts.templates import class_prompts
from embedonce.pipeline.naming import class_names
from embedonce.pipeline.sources.source import Source


def source(*classes: str, named_by: str = "folders") -> Source:
    return Source(None, "folder", (), (), classes, named_by=named_by)


def refused(*classes: str, named_by: str = "folders", zero_shot: bool = True) -> str:
    with pytest.raises(InputError) as caught:
        check_classes(source(*classes, named_by=named_by), class_prompts(classes) if zero_shot else ())
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("YoYo", "yo yo"),
        ("TaiChi", "tai chi"),
        ("brush_hair", "brush hair"),
        ("cut-bread", "cut bread"),
        ("open.door", "open door"),
        ("CPR_training", "cpr training"),
        ("CPRTraining", "cpr training"),
        ("UsingATM", "using atm"),
        ("PlayingTVGame", "playing tv game"),
        ("UsingTVs", "using tvs"),
        ("MixingABowl", "mixing a bowl"),
        ("iPhone", "iphone"),
        ("eBook_reading", "ebook reading"),
        ("360Flip", "360 flip"),
        ("H2O", "h2o"),
        ("МытьПосуду", "мыть посуду"),
        ("写字", "写字"),
        ("pizza\u3000rolling", "pizza rolling"),
        ("v1.5", "v1.5"),
        ("Plain words", "plain words"),
        ("TVRemote", "tv remote"),
        ("HDMI_cable", "hdmi cable"),
        ("HDMI2Cable", "hdmi2 cable"),
        ("BasketballDunk", "basketball dunk"),
        ("XRay", "x ray"),
        ("TShirt", "t shirt"),
        ("3DPrinting", "3d printing"),
        ("ÉcrireLettre", "écrire lettre"),
        ("tap:on", "tap on"),
        ("machine:sous:vide", "machine sous vide"),
        ("cup,mug", "cup, mug"),
        ("nut;bolt", "nut bolt"),
        ("child'sBag", "child's bag"),
        ("rock'n'roll", "rock'n'roll"),
        ("at 10:30", "at 10:30"),
    ],
)
def test_names_are_split_into_words(name, words):
    assert class_names.words(name) == words
    assert class_prompts((name,), style="v1")[0][-1] == f"a photo of the action: {words}"
    assert class_prompts((name,))[0][-1].endswith(f" {words}")


@pytest.mark.parametrize(
    "name", ["n01440764", "c07", "12", "0", "3.1", "S001", "A12", "class_3", "label-4", "Class 7", "P01_02", "___",
             "deadbeef12", "0a1b2c3d-0000-4000-8000-000000000000", "v12", "c042", "0017", "12:30", "(12)", "#5", "٠١٢",
             "verb_12", "noun3"],
)  # fmt: skip
def test_codes(name):
    assert class_names.codes([name, "open door"]) == [name]
    message = refused("open door", name)
    assert (
        "1 of 2 class names are codes" in message and "--class-names MAP.csv" in message and f"`{name},NAME`" in message
    )


@pytest.mark.parametrize(
    "name", ["a", "ABC", "feedback", "decade", "2_person_lift", "360 flip", "jump2", "YoYo", "写字", "🏊", "H2O bottle"]
)
def test_names_that_are_not_codes(name):
    assert class_names.codes([name, "open door"]) == []


def test_names_with_numbers_are_refused_if_most_begin_with_one():
    birds = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "10.Auklet")
    assert class_names.codes(birds) == list(birds)
    assert "`001.Black_footed_Albatross,Black footed Albatross`" in refused(*birds)
    assert class_names.codes(["2 person lift", "jump", "run", "3 point shot", "walk"]) == []


def test_codes_are_refused_only_if_a_teacher_reads_them(caplog):
    check_classes(source("c01", "c02"), ())
    check_classes(source("c01", "run"), class_prompts(("c01", "run")), named=("run",))
    assert caplog.records == []
    for named_by, remedy in (("map", "file of --class-names"), ("annotations", "use --class-names MAP.csv")):
        check_classes(source("c01", "c02", named_by=named_by), class_prompts(("c01", "c02")))
        assert remedy in caplog.records[-1].getMessage()
    assert "into the file of --classes" in refused("c01", "run", named_by="file")


@pytest.mark.parametrize("zero_shot", [True, False])
@pytest.mark.parametrize(
    "pair", [("Open door", "open door"), ("open_door", "open-door"), ("OpenDoor", "open_door"), ("café", "cafe\u0301"),
             ("Ｒｕｎ", "run"), ("STRASSE", "straße")],
)  # fmt: skip
def test_names_that_differ_only_in_case_or_encoding_are_refused(pair, zero_shot):
    message = refused("walk", *pair, zero_shot=zero_shot)
    assert f"{pair[0]!r} and {pair[1]!r}" in message and "--class-names MAP.csv" in message


def test_equivalent_names_of_annotations_are_logged_and_kept(caplog):
    check_classes(source("turn on", "turn_on", named_by="annotations"), class_prompts(("turn on", "turn_on")))
    assert "'turn on' and 'turn_on'" in caplog.text and "--class-names" in caplog.text


def test_joined_words_and_foreign_scripts_are_logged(caplog):
    check_classes(source("applyeyemakeup", "skateboarding", "写字"), class_prompts(("applyeyemakeup", "b", "写字")))
    assert "several words run together: 'applyeyemakeup' (" in caplog.text
    assert "not in Latin script" in caplog.text and "'写字'" in caplog.text


def test_equal_class_vectors_are_logged(caplog):
    vectors = np.eye(5, dtype=np.float32)[[0, 1, 0, 2, 1]]
    assert coinciding(vectors) == [(0, 2), (1, 4)]
    assert coinciding(np.eye(3, dtype=np.float32)) == []
    close = np.array([[1, 0], [np.cos(0.01), np.sin(0.01)]], np.float32)
    assert coinciding(close) == []
    check_vectors(source("a", "b", "c", "d", "e"), vectors)
    assert "soft logits are equal: 'a' and 'c'; 'b' and 'e'" in caplog.text


def test_names_of_all_scripts_are_printable():
    assert all(map(class_names.is_plain, ("écrire", "می\u200cشود", "👨\u200d🍳", "a\u3000b", "写", "a\u00a0b")))
    assert not any(map(class_names.is_plain, ("a\tb", "a\nb", "\x00", "\ud800", "a\u202eb", "a\u2028b", "\ufeffa")))
