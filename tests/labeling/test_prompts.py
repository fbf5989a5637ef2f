"""Class prompts in English: the reviewed table of all Ego4D labels, and the rules behind it."""

import re

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.prompts.inflection import with_article
from embedonce.pipeline.labeling.prompts.label_phrases import sentence_phrase
from embedonce.pipeline.labeling.prompts.noun_phrases import noun_phrases
from embedonce.pipeline.labeling.prompts.templates import NEUTRAL_PROMPTS, class_prompts
from embedonce.pipeline.labeling.prompts.verb_phrases import verb_phrases
from tests.commands.test_cli import call, error_of
from tests.support.ego4d_prompt_table import FILE, SECTIONS, sections, table
from tests.support.fake_teacher import FakeTeacher
from tests.support.tiny_cache import make_tiny_cache

pytestmark = pytest.mark.usefixtures("forked_workers")

LABELS = sections(FILE.read_text())
PROMPTS = {
    f"{name} {label}": texts
    for name, kind in SECTIONS.items()
    for label, texts in zip(LABELS[name], class_prompts(tuple(LABELS[name]), kind), strict=True)
}
NOUNS = sorted({phrase for label in LABELS["nouns"] for phrase in noun_phrases(label)})


def test_the_prompt_table_is_current():
    assert {name: len(labels) for name, labels in LABELS.items()} == {"verbs": 117, "nouns": 521, "moments": 110}
    assert table(FILE.read_text()) == FILE.read_text()


def test_prompts_have_no_punctuation_of_labels():
    stray = re.compile(r"[_\"“”()/\[\]]|  |^ | $|\betc\b|e\.g|\beg\b|(?<!\w)'|'(?!\w)| [,.;]|[,.;]$|\b(\w+) \1\b")
    assert {name: text for name, texts in PROMPTS.items() for text in texts if stray.search(text)} == {}
    assert [texts[0] for texts in PROMPTS.values() if ":" in texts[0]] == []  # none is neutral


@pytest.fixture(scope="module")
def engine():
    """inflect's engine. Its import takes seconds, which other tests need not wait for."""
    import inflect

    return inflect.engine()


@pytest.mark.slow
def test_articles_agree_with_the_inflect_library(engine):
    for texts in PROMPTS.values():
        for article, word in re.findall(r"\b(an?) ([\w-]+)", " ".join(texts)):
            assert engine.a(word) == f"{article} {word}"
    words = ["hour", "honest", "unicorn", "umbrella", "uniform", "user", "urn", "European", "one-way", "ATM", "MP3"]
    words += ["USB", "FBI", "x-ray", "heirloom", "U-bolt"]
    assert [with_article(word) for word in words] == [engine.a(word) for word in words]


@pytest.mark.slow
def test_plurals_have_no_article(engine):
    singular = [noun.split()[-1] for noun in NOUNS if re.match(r"an? ", noun) and " of a " not in noun]
    assert [word for word in singular if engine.singular_noun(word)] == ["canvas", "fish"]
    bare = [noun for noun in NOUNS if not re.match(r"(an?|the) ", noun)]
    plural = {noun for noun in bare if noun.endswith("s") and engine.singular_noun(noun)}
    assert {"jeans", "scissors", "tweezers", "playing cards", "noodles", "glasses", "stairs"} <= plural
    assert {"water", "wood", "soup stock", "soap", "a computer mouse", "a glass"} <= {*bare, *NOUNS} - plural


@pytest.mark.parametrize(
    ("name", "gerunds"),
    [
        ("cut_(trim,_chop)", ["cutting something", "trimming something", "chopping something up"]),
        ("turn_on_(switch_on,_start)", ["turning something on", "switching something on", "starting a device"]),
        ("consume_(taste)", ["eating or drinking", "tasting something"]),
        ("operate_(click-button)", ["using a device", "clicking a button"]),
        ("adjust_(increase/reduce)", ["adjusting something", "increasing something", "reducing something"]),
        ("file_(with_tool)", ["filing something with a tool"]),
        ("put_(place,_put", ["putting something down", "placing something somewhere"]),
        ("Pick-Up", ["picking something up"]),
        ("dance", ["dancing"]),
        ("panic", ["panicking"]),
        ("[other]", []),
        ("42", []),
        ("", []),
    ],
)  # fmt: skip
def test_verbs(name, gerunds):
    assert [phrase.gerund for phrase in verb_phrases(name)] == gerunds


@pytest.mark.parametrize(
    ("name", "nouns"),
    [
        ("cup_(cup,_mug,_tumbler)", ("a cup", "a mug", "a tumbler")),
        ("mouse_(computer)", ("a computer mouse",)),
        ("stock_(food)", ("soup stock",)),
        ("pepper_(vegetable)", ("a bell pepper",)),
        ("pepper_(vegetable)_(capsicum,_pepper)", ("a bell pepper", "a capsicum", "a pepper")),
        ("ring_(onion)", ("an onion ring",)),
        ("glasses_(goggle,_shade)", ("glasses", "goggles", "shades")),
        ("chip_(wood'_metal),", ("a wood chip", "a metal chip")),
        ("hour", ("an hour",)),
        ("canvas", ("a canvas",)),
        ("the sun", ("the sun",)),
        ("", ()),
    ],
)
def test_nouns(name, nouns):
    assert noun_phrases(name) == nouns


@pytest.mark.parametrize(
    ("label", "gerund", "third"),
    [
        ('"buy_/_sell_fruit_(e.g._figs,_limes)"', "buying or selling fruit such as figs or limes",
         "buys or sells fruit such as figs or limes"),
        ("load/unload_a_truck", "loading or unloading a truck", "loads or unloads a truck"),
        ("wash_dishes_/_pans_/_cutlery_etc.", "washing dishes, pans or cutlery", "washes dishes, pans or cutlery"),
        ("cut_it_(e.g._with_scissors)", "cutting it, for example with scissors", "cuts it, for example with scissors"),
        ("fold_away_(or_take_out)_a_table", "folding away or taking out a table", "folds away or takes out a table"),
        ("wash_and_dry_a_dog", "washing and drying a dog", "washes and dries a dog"),
        ('"sweep,_mop,_or_vacuum_the_floor"', "sweeping, mopping or vacuuming the floor",
         "sweeps, mops or vacuums the floor"),
        ("open_the_child's_bag", "opening the child's bag", "opens the child's bag"),
        ("“use_phone”", "using a phone", "uses a phone"),
        ("fill_a_form_/_write_a_letter", "filling a form or writing a letter", "fills a form or writes a letter"),
    ],
)  # fmt: skip
def test_sentences(label, gerund, third):
    phrase = sentence_phrase(label)
    assert (phrase.gerund, phrase.third_person) == (gerund, third)


@pytest.mark.parametrize("label", ["", '"_"', "/", "(e.g.)", "[other]", "moment_42", "archery"])
def test_labels_without_a_leading_verb_are_not_sentences(label):
    assert sentence_phrase(label) is None
    assert len(class_prompts((label or "x",), "moments")[0]) == len(NEUTRAL_PROMPTS)


def test_names_of_users_get_neutral_prompts_unless_they_are_gerunds():
    """`cup` or `bench press` may be a noun or a verb; a gerund is certainly a verb."""
    texts = class_prompts(("cup", "BenchPress", "RidingABike", "cutting in kitchen", "sing", "spring"))
    firsts = [prompts[0] for prompts in texts]
    assert firsts == [
        "a first-person video frame: cup",
        "a first-person video frame: bench press",
        "a first-person video frame of someone riding a bike",
        "a first-person video frame of someone cutting in kitchen",
        "a first-person video frame: sing",
        "a first-person video frame: spring",
    ]
    assert texts[2][3] == "the hands of a person who rides a bike, seen from a head-mounted camera"


def test_the_demo_teacher_gets_prompts_of_style_v1():
    """Its text tower was trained on prompts of this style."""
    usual = {"data_dir": None, "use_synthetic": True, "cache_dir": FILE.parent}
    assert ExtractConfig(**usual).wording == "english"
    assert ExtractConfig(**usual, teacher_size="demo").wording == "v1"
    assert ExtractConfig(**usual, teacher_size="demo", prompt_style="english").wording == "english"
    with pytest.raises(ValueError, match="--prompt-style must be one of english, v1"):
        ExtractConfig(**usual, prompt_style="v2")


@pytest.fixture
def tiny(tmp_path):
    return make_tiny_cache(tmp_path / "cache", 6)


@pytest.mark.integration
def test_a_label_set_has_prompts_of_the_chosen_style(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: FakeTeacher())
    (tmp_path / "names.txt").write_text("cutting bread\ncup\n")
    command = ["relabel", "--cache-dir", tiny, "--classes", tmp_path / "names.txt", "--clips-from", "tiny"]
    call(*command, "--label-set", "usual")
    call(*command, "--label-set", "first", "--prompt-style", "v1")
    usual, first = (open_reader(tiny).label_set(name).prompts for name in ("usual", "first"))
    assert usual[0][3] == "the hands of a person who cuts bread, seen from a head-mounted camera"
    assert first[0][3] == "hands of a person who cutting bread, seen from a head-mounted camera"
    assert "made from other prompts" in error_of(*command, "--label-set", "first", code=4)


def test_inspect_cache_shows_prompts(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: FakeTeacher())
    (tmp_path / "n.txt").write_text("cutting bread\ncup\n")
    call("relabel", "--cache-dir", tiny, "--classes", tmp_path / "n.txt", "--clips-from", "tiny", "--label-set", "mine")
    shown = call("inspect-cache", "--cache-dir", tiny, "--prompts")
    labels = open_reader(tiny).label_set("mine")
    assert (
        "prompts of label set mine, from built-in (english), 2 classes, 10 prompts:" in shown
        and "label set tiny (fitted) has no prompts" in shown
    )
    for name, texts in zip(labels.classes, labels.prompts, strict=True):
        assert "\n".join([f"  {name}", *(f"    {text}" for text in texts)]) in shown
    one = call("inspect-cache", "--cache-dir", tiny, "--prompts", "--label-set", "mine")
    assert shown.splitlines() == [*one.splitlines(), "label set tiny (fitted) has no prompts"]
    assert "prompts of" not in call("inspect-cache", "--cache-dir", tiny)
