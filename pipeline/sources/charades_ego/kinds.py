"""What the clips of Charades-Ego can be: of which videos, and whether each is a moment or a whole video."""

from dataclasses import dataclass

FIRST, THIRD, BOTH = "first", "third", "both"  # views; those of the column `egocentric` are FIRST and THIRD


@dataclass(frozen=True)
class CharadesKind:
    """One value of --charades-labels, which becomes one label set.

    view: whose videos. is_whole: each video is one clip with all of its actions; otherwise a clip is what lies between
    two changes of the actions that are going on.
    """

    view: str
    is_whole: bool = False

    @property
    def annotation(self) -> str:
        """Its name among all kinds of annotations."""
        return f"charades-{self.view}{'-videos' if self.is_whole else ''}"


KINDS = {
    FIRST: CharadesKind(FIRST),
    THIRD: CharadesKind(THIRD),
    BOTH: CharadesKind(BOTH),
    "first-videos": CharadesKind(FIRST, is_whole=True),
    "third-videos": CharadesKind(THIRD, is_whole=True),
    "both-videos": CharadesKind(BOTH, is_whole=True),
}
