"""The kinds of annotations by name, importable without a reader of any file."""

KIND_NAMES = ("moments", "fho-verbs", "fho-nouns", "lta-verbs", "lta-nouns", "narrations", "narrations-all")
