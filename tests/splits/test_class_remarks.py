"""What is odd about the classes of a data set, in a few lines."""

from embedonce.pipeline.splits.class_remarks import class_remarks
from tests.splits.test_class_table import clips


def test_a_data_set_without_gaps_has_no_remarks():
    assert class_remarks(("cut", "stir"), clips({(0, "train"): 2, (0, "val"): 1, (1, "train"): 1, (1, "val"): 1})) == []
    assert class_remarks((), clips({(-1, "train"): 1})) == []


def test_each_oddity_is_one_line_that_names_the_classes():
    counts = {(0, "train"): 2, (0, "val"): 1, (1, "train"): 5, (2, "val"): 2, (3, "test"): 1, (-1, "train"): 9}
    assert class_remarks(("cut", "stir\x1b", "Pour", "pour", "never"), clips(counts)) == [
        "classes with no clip: 1 of 5 ('never')",
        "classes with a single clip: 1 of 5 ('pour')",
        "classes with no training clip: 2 of 5 ('Pour', 'pour')",
        "classes with no validation clip: 2 of 5 ('stir\\x1b', 'pour')",
        "class names that differ only in case or in how words are joined: 'Pour' and 'pour'",
    ]


def test_many_classes_are_counted_and_few_are_named():
    lines = class_remarks([f"class {i}" for i in range(5000)], clips({(0, "train"): 1, (0, "val"): 1}))
    assert lines == [
        "classes with no clip: 4999 of 5000 ('class 1', 'class 2', 'class 3', 'class 4', 'class 5' and 4994 more)"
    ]
