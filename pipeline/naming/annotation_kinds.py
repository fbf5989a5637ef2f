"""Names and defaults of public annotations that training and evaluation share with the sources."""

EPIC_VERBS, EPIC_NOUNS, EPIC_NARRATIONS = "epic-verbs", "epic-nouns", "epic-narrations"
EGOEXO_KEYSTEPS, EGOEXO_ALL_KEYSTEPS = "egoexo-keysteps", "egoexo-all-keysteps"
EGOEXO_DESCRIPTIONS = "egoexo-descriptions"
HD_EPIC_VERBS, HD_EPIC_NOUNS, HD_EPIC_NARRATIONS = "hd-epic-verbs", "hd-epic-nouns", "hd-epic-narrations"
EGTEA_ACTIONS, EGTEA_VERBS, EGTEA_NOUNS = "egtea-actions", "egtea-verbs", "egtea-nouns"  # of several nouns per clip
ASSEMBLY_ACTIONS, ASSEMBLY_VERBS, ASSEMBLY_NOUNS = "assembly101-actions", "assembly101-verbs", "assembly101-nouns"
VERBS_AND_NOUNS = {  # which label the same clips
    "fho-verbs": "fho-nouns",
    "lta-verbs": "lta-nouns",
    EPIC_VERBS: EPIC_NOUNS,
    ASSEMBLY_VERBS: ASSEMBLY_NOUNS,
}
FHO_WINDOWS = ("action", "critical")  # the whole action, or from its pre frame to its post frame
MAX_NARRATION_WINDOW = 8.0  # seconds, the length of an FHO window
