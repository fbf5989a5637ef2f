"""Names and defaults of public annotations that training and evaluation share with the sources."""

EPIC_VERBS, EPIC_NOUNS, EPIC_NARRATIONS = "epic-verbs", "epic-nouns", "epic-narrations"
EGTEA_ACTIONS, EGTEA_VERBS, EGTEA_NOUNS = "egtea-actions", "egtea-verbs", "egtea-nouns"  # of several nouns per clip
VERBS_AND_NOUNS = {"fho-verbs": "fho-nouns", "lta-verbs": "lta-nouns", EPIC_VERBS: EPIC_NOUNS}  # label the same clips
FHO_WINDOWS = ("action", "critical")  # the whole action, or from its pre frame to its post frame
MAX_NARRATION_WINDOW = 8.0  # seconds, the length of an FHO window
