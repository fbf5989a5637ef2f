"""The verbs of narrations: the actor, the verb, its class, and notes about verbs without one."""

import csv

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.plan_ego4d import plan
from embedonce.pipeline.extraction.plan_settings import PlanConfig
from embedonce.pipeline.sources.ego4d.annotations.narrations import MAX_VERBS_SHOWN
from embedonce.pipeline.sources.ego4d.verbs.narration_text import Actor, actor_and_words
from embedonce.pipeline.sources.ego4d.verbs.verb_finder import VerbFinder, finder_for
from embedonce.pipeline.sources.ego4d.verbs.verb_forms import base_forms
from tests.support.ego4d_files import U1, U2, listed, named, narrated, narration, source_of, write
from tests.support.ego4d_prompt_table import FILE, sections

PUBLISHED = sections(FILE.read_text())["verbs"]
NO_GROUPS = {name: [] for name in PUBLISHED}
# Rows as EgoVLP's table has them
ROWS = {
    "adjust_(regulate,_increase/reduce,_change)": ["adjust", "increase/reduce", "lower", "lowers", "raise", "raises"],
    "drill": ["bore", "drill", "makes a hole", "makes a holes"],
    "lift": ["lift", "rais", "raise up"],
    "mix": ["beat", "blend", "mix", "stir", "stirs"],
    "move_(transfer,_pass,_exchange)": ["bring", "bring down", "brings", "carry", "move", "slid"],
    "carry": ["carry"],
    "put_(place,_leave,_drop)": ["add", "adds", "keep", "let go", "place", "put", "put back", "set"],
    "take_(pick,_grab,_get)": ["collect", "gather", "lift", "pick", "take", "take out"],
    "turn_(spin,_rotate,_flip,_turn_over)": ["flip", "rotate", "turn", "turn_over"],
    "turn_off_(turn_off,_switch_off)": ["extinguish", "put off", "switch_off", "turn off", "turn_off"],
    "turn_on_(switch_on,_start,_light)": ["light", "put on", "start", "switch_on", "turn on"],
    "cross": ["cross"],
}


def class_of(text: str, verbs: VerbFinder) -> str | None:
    """The head of the class of a narration's verb."""
    _, words = actor_and_words(text)
    name, _ = verbs.class_of(words)
    return name and name.partition("(")[0].strip("_")


@pytest.mark.parametrize(
    ("text", "actor", "words"),
    [
        ("#C C picks a cup", "WEARER", "picks a cup"),
        ("# C picks a cup", "WEARER", "picks a cup"),
        ("# C C picks a cup", "WEARER", "picks a cup"),
        ("#CC picks a cup", "WEARER", "picks a cup"),
        ("@c picks a cup", "WEARER", "picks a cup"),
        ("@C C picks a cup", "WEARER", "picks a cup"),
        ("C picks a cup", "WEARER", "picks a cup"),
        ("c picks a cup", "WEARER", "picks a cup"),
        ("  #c c Picks a cup", "WEARER", "picks a cup"),
        ("#C C C picks a cup", "WEARER", "picks a cup"),
        ("#C: C, picks a cup", "WEARER", "picks a cup"),
        ("#C C  #unsure carries vitamin C.", "WEARER", "carries vitamin c ."),
        ("#C C and a man X walk", "WEARER", "walk"),
        ("#C C and the lady walk", "WEARER", "walk"),
        ("#C C", "WEARER", ""),
        ("#C", "WEARER", ""),
        ("#O A man X picks a cup", "OTHER", "picks a cup"),
        ("#o a man X picks a cup", "OTHER", "picks a cup"),
        ("# O person B picks a cup", "OTHER", "picks a cup"),
        ("@O The man picks a cup", "OTHER", "picks a cup"),
        ("#O A man X and a lady Y walk", "OTHER", "walk"),
        ("#unsure", "UNKNOWN", ""),
        ("#Unsure C picks a cup", "UNKNOWN", ""),
        ("#summary C works in a kitchen", "UNKNOWN", ""),
        ("#cat walks", "UNKNOWN", ""),
        ("Cat walks", "UNKNOWN", ""),
        ("", "UNKNOWN", ""),
    ],
)
def test_the_actor_and_the_words_after_it(text, actor, words):
    assert actor_and_words(text) == (Actor[actor], words.split())


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("picks up a cup", "take"),
        ("Leaves the room", "put"),
        ("turns on the tap", "turn_on"),
        ("turns the tap on", "turn_on"),
        ("turns the tap in the kitchen off with his hand", "turn_off"),
        ("turned the lights off and walks away", "turn_off"),
        ("turns the page over", "turn"),
        ("turns the page and switches off the light", "turn"),
        ("turns the knob on the stove", "turn"),
        ("plugs the cable in", "attach"),
        ("is slowly turning the tap off", "turn_off"),
        ("slowly and carefully opens the box", "open"),
        ("then also cuts it", "cut"),
        ("has opened the box", "open"),
        ("is opening the box", "open"),
        ("was cut", "cut"),
        ("starts to cut the grass", "cut"),
        ("starts cutting the grass", "cut"),
        ("starts the car", "turn_on"),
        ("starts something", "turn_on"),
        ("continues to slowly walk", "walk"),
        ("is going to pick a cup", "take"),
        ("is about to pick a cup", "take"),
        ("can reach to", None),
        ("goes to the kitchen", None),
        ("applies paint", "apply"),
        ("took the knife", "take"),
        ("dropped it", "put"),
        ("ties a knot", "tie"),
        ("was tying a knot", "tie"),
        ("untied it", "untie"),
        ("increases the volume", "adjust"),
        ("clicked button", "operate"),
        ("dances", None),
        ("puts the lid on", "put"),
        ("42", None),
    ],
)
def test_the_verb_and_its_class(text, verb):
    assert class_of(f"#C C {text}", finder_for(NO_GROUPS)) == verb


def test_the_cached_class_of_a_verb_does_not_depend_on_earlier_narrations():
    """Only verbs whose class does not depend on the words after them are cached."""
    verbs = finder_for(NO_GROUPS | ROWS)
    texts = [
        "starts the car",
        "starts cutting",
        "turns it",
        "turns it off",
        "is",
        "is cutting",
        "cuts",
        "cuts and drills",
    ]
    classes = [class_of(f"#C C {text}", verbs) for text in texts + texts[::-1]]
    assert classes[:8] == ["turn_on", "cut", "turn", "turn_off", None, "cut", "cut", "cut"] == classes[:7:-1]


def test_every_form_of_every_verb_is_found():
    """Compares the rules with a dictionary of inflections."""
    import lemminflect

    verbs = finder_for(NO_GROUPS)
    names = {name: class_of(f"#C C {name}", verbs) for name in (label.partition("_(")[0] for label in PUBLISHED)}
    synonyms = "pick grab place leave drop slice chop trim sip eat drink ride weave stitch spin flip regulate converse"
    more = {verb: class_of(f"#C C {verb}", verbs) for verb in synonyms.split()}
    assert None not in {**names, **more}.values()
    missed = [
        form
        for verb, expected in (names | more).items()
        if "_" not in verb
        for tag in ("VBZ", "VBG", "VBD", "VBN")
        for form in lemminflect.getInflection(verb, tag)
        if class_of(f"#C C {form} it", verbs) != expected
    ]
    assert missed == []


def test_without_a_taxonomy_every_verb_is_a_class():
    forms = {
        "dances": "dance", "carries": "carry", "washes": "wash", "lies": "lie", "goes": "go", "mixes": "mix",
        "press": "press", "has": "have", "closes": "close", "is dancing": "dance", "sliced": "slice", "rinses": "rinse",
        "is running": "run", "is typing": "type", "adds": "add", "is adding": "add", "is raising": "raise",
        "crawled": "crawl", "buzzes": "buzz",
    }  # fmt: skip
    assert {text: class_of(f"#C C {text}", VerbFinder(None)) for text in forms} == forms
    assert class_of("#C C", VerbFinder(None)) is None
    assert all(base_forms(word) for word in ("", "s", "ing", "ed", "es", "ies", "sing", "red", "yes"))


# the verb table of narrations


def with_table(root, rows, narrations, name="narration_verb_taxonomy.csv", **more):
    """A folder with the table, as EgoVLP's is written, and narrations of one video."""
    write(root, {"narration.json": {U1: narrated(*narrations)}, **more}, videos=[listed(U1)])
    with (root / "v2/annotations" / name).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", "group"])
        writer.writerows((label, str(group)) for label, group in rows.items())
    return root


TEXTS = {
    "brings a cup": "move",
    "brought a cup": "move",
    "raises the seat": "adjust",
    "raises up a box": "lift",
    "lifts a box": "lift",
    "carries a box": "carry",
    "stirred it": "mix",
    "adds salt": "put",
    "lets go of the rope": "put",
    "puts the book back": "put",
    "takes the bread out of the oven": "take",
    "puts on the light": "turn_on",
    "puts off the light": "turn_off",
    "puts the lid on": "put",
    "puts the light off": "turn_off",
    "is making a hole": "drill",
    "makes holes": None,
    "crosses the road": "cross",
    "gathers twigs": "take",
    "switches the fan off": "turn_off",
    "reduces the heat": "adjust",
}


def test_the_narration_verb_table_defines_classes_and_phrases(tmp_path):
    taxonomy = {"fho_main_taxonomy.json": {"verbs": ["take", "walk"], "nouns": ["cup"]}}
    root = with_table(tmp_path, ROWS, [narration(float(i), f"#C C {t}") for i, t in enumerate(TEXTS, 1)], **taxonomy)
    source = source_of(root, "narrations")
    assert source.classes == tuple(ROWS)  # and not FHO's
    classes = [name and name.partition("_(")[0] for *_, name, _ in named(source)]
    assert dict(zip(TEXTS, classes, strict=True)) == TEXTS


def test_invalid_rows_of_the_verb_table_are_noted(tmp_path):
    rows = {"take": ["grab"], "put": "place", "": ["x"], "cut": ["chop", 3]}
    texts = ["#C C grabs it", "#C C places it", "#C C puts it", "#C C chops it"]
    source = source_of(
        with_table(tmp_path, rows, [narration(float(i), text) for i, text in enumerate(texts, 1)]), "narrations"
    )
    assert [name for *_, name, _ in named(source)] == ["take", None, "put", None]
    notes = " | ".join(source.notes)
    assert (
        "rows of narration_verb_taxonomy.csv without a list of phrases, matched by their label alone: narrations 2"
        in notes
        and "row 2: got 'place'" in notes
    )
    assert "rows of narration_verb_taxonomy.csv without a label, dropped: narrations 1" in notes
    with pytest.raises(InputError, match="3 problems in the annotations"):
        source_of(tmp_path, "narrations", strict=True)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"verb,synonyms\ncut,x\n", "expected a CSV file with the columns label and group, got ['verb', 'synonyms']"),
        (b"", "expected a CSV file with the columns label and group, got 'no row'"),
        (b"label,group\n\xff\xfe,x\n", "expected a CSV file, got"),
    ],
)
def test_a_verb_table_of_another_format_is_an_error(tmp_path, content, expected):
    root = with_table(tmp_path, ROWS, [narration(1.0)])
    (root / "v2/annotations/narration_verb_taxonomy.csv").write_bytes(content)
    with pytest.raises(InputError) as error:
        source_of(root, "narrations")
    assert f"narration_verb_taxonomy.csv: content: {expected}" in str(error.value)


# windows and notes


def spans(root, **options):
    return [(round(c.start_sec, 6), round(c.end_sec, 6)) for c in source_of(root, "narrations", **options).clips]


def test_the_mean_gap_is_measured_per_annotator(tmp_path):
    """Two people who narrate every 4.9 s, half a gap apart: one mean gap over both would halve the windows."""
    entries = [
        {"time": 10 + 2.45 * i, "text": "#C C takes it", "_annotation_uid": "ab"[i % 2]} for i in range(8)
    ]  # fmt: skip
    write(tmp_path / "f", {"all_narrations_redacted.json": {"videos": {U1: {"narrations": entries}}}})
    assert {round(end - start, 6) for start, end in spans(tmp_path / "f")} == {1.0}
    passes = [narration(entry["time"], annotation_uid=entry["_annotation_uid"]) for entry in entries]
    write(tmp_path / "p", {"narration.json": {U1: narrated(*passes)}})
    assert spans(tmp_path / "p") == spans(tmp_path / "f")


@pytest.mark.parametrize("uids", [[None] * 4, [1, 2, 3, 4], ["a", "b", "c", "d"], ["x"] * 4])
def test_uids_that_differ_for_every_narration_do_not_identify_annotators(tmp_path, uids):
    entries = [narration(10 + 2.45 * i, annotation_uid=uid) for i, uid in enumerate(uids)]
    write(tmp_path, {"narration.json": {U1: narrated(*entries)}})
    assert {round(end - start, 6) for start, end in spans(tmp_path)} == {0.5}


def test_long_windows_are_shortened_with_a_note(tmp_path):
    write(tmp_path, {"narration.json": {U1: narrated(narration(5.0), narration(90.0)), U2: narrated(narration(5.0))}})
    assert spans(tmp_path) == [(1.0, 9.0), (86.0, 94.0), (4.5, 5.5)]
    assert spans(tmp_path, max_narration_window=2.0) == [(4.0, 6.0), (89.0, 91.0), (4.5, 5.5)]
    notes = " | ".join(source_of(tmp_path, "narrations", max_narration_window=2.0).notes)
    assert "windows shortened: to 2 s (--max-narration-window): narrations 1" in notes
    assert not any("shortened" in note for note in source_of(tmp_path, "narrations", max_narration_window=90.0).notes)
    with pytest.raises(ValueError, match="--max-narration-window must be greater than 0, got 0"):
        PlanConfig(tmp_path, max_narration_window=0)


@pytest.mark.integration
def test_notes_give_the_share_of_narrations_with_a_class_and_frequent_verbs_without_one(tmp_path):
    texts = ["#C C takes it"] * 3 + ["#C C dances"] * 2 + ["#O A man X takes it", "#unsure", "#C C"]
    texts += [f"#C C {a}{b}ooms" for a in "bcdfg" for b in "lrtzk"]  # 25 more verbs, once each
    narrations = [narration(float(i), text) for i, text in enumerate(texts, 1)]
    taxonomy = {"verbs": ["take"], "nouns": ["cup"]}
    write(tmp_path, {"narration.json": {U1: narrated(*narrations)}, "fho_main_taxonomy.json": taxonomy})
    output = "\n".join(plan(PlanConfig(tmp_path, annotations="narrations")).lines)
    assert "narrations: 3 of 31 narrations (9.7%) have a verb with a class" in output
    (line,) = (line for line in output.splitlines() if "most frequent verbs without a class" in line)
    listed_verbs = line.partition("verbs without a class: ")[2].split(", ")
    assert len(listed_verbs) == MAX_VERBS_SHOWN and listed_verbs[0] == "dance 2" and "(no verb) 1" in line
