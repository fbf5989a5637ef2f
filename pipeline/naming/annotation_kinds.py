"""Names and defaults of Ego4D's annotations that training and evaluation share with the source."""

VERBS_AND_NOUNS = {"fho-verbs": "fho-nouns", "lta-verbs": "lta-nouns"}  # label the same clips
FHO_WINDOWS = ("action", "critical")  # the whole action, or from its pre frame to its post frame
MAX_NARRATION_WINDOW = 8.0  # seconds, the length of an FHO window
