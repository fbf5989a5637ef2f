"""The texts of which a class's zero-shot vector is made. Knows names and wording only."""

import re
from collections import Counter

from pipeline.class_names import words

ACTION_PROMPTS = (  # averaged, as CLIP's authors do; the wording is first-person
    "a first-person video frame of someone {name}",
    "an egocentric photo of a person {name}",
    "what I see while I {name}",
    "hands of a person who {name}, seen from a head-mounted camera",
    "a photo of the action: {name}",
)
OBJECT_PROMPTS = (
    "a first-person video frame of someone handling a {name}",
    "an egocentric photo of a {name} in use",
    "hands holding a {name}, seen from a head-mounted camera",
    "a {name} that is being moved or changed by a person",
    "a photo of a {name}",
)


def class_prompts(classes: tuple[str, ...], of_objects: bool = False) -> tuple[tuple[str, ...], ...]:
    """The texts of each class; names are split into words, so that `ApplyEyeMakeup` reads "apply eye makeup".

    What names add in parentheses, such as the synonyms of Ego4D's taxonomies, is left out unless two classes would
    read the same without it. of_objects: classes are things, not actions.
    """
    bare = [words(re.sub(r"\([^)]*\)", " ", name)) for name in classes]
    counts = Counter(bare)
    texts = [text if text and counts[text] == 1 else words(name) for text, name in zip(bare, classes, strict=True)]
    prompts = OBJECT_PROMPTS if of_objects else ACTION_PROMPTS
    return tuple(tuple(prompt.format(name=text) for prompt in prompts) for text in texts)
