"""Names and defaults of Ego4D's annotations that training and evaluation share with the source."""

VERBS_AND_NOUNS = {"fho-verbs": "fho-nouns", "lta-verbs": "lta-nouns"}  # of the same clips
FHO_WINDOWS = ("action", "critical")  # a whole action, or what is from its pre frame to its post frame
MAX_NARRATION_WINDOW = 8.0  # seconds, as long as a window of FHO
