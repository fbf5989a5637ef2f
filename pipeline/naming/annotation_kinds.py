"""Names of Ego4D's kinds of annotations, importable without their readers."""

KIND_NAMES = (
    "moments",
    "fho-verbs",
    "fho-nouns",
    "lta-verbs",
    "lta-nouns",
    "oscc",
    "goalstep",
    "narrations",
    "narrations-all",
)
VERBS_AND_NOUNS = {"fho-verbs": "fho-nouns", "lta-verbs": "lta-nouns"}  # label the same clips
FHO_WINDOWS = ("action", "critical")  # the whole action, or from its pre frame to its post frame
MAX_NARRATION_WINDOW = 8.0  # seconds, the length of an FHO window
