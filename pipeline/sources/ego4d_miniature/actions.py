"""The actions in the FHO files of a miniature, and the windows that readers should get from them."""

from typing import NamedTuple

from embedonce.pipeline.sources.ego4d_miniature.plan import Plan, VideoPlan, Window

TAKE, PUT, CUT, OPEN = "take_(pick,_grab,_get)", "put_(place,_leave,_drop)", "cut_(trim,_slice,_chop)", "open"
KNIFE, CUP, PLATE, VEGETABLE = "knife_(knife,_machete)", "cup_(cup,_mug)", "plate_(dish,_plate)", "vegetable"
TOOL = "board_(board,_chopping_board)"  # a noun of tools only, never of an object of change
MAIN_TAXONOMY = {  # one verb and one noun more than LTA's, so that the same index is another class
    "verbs": sorted((TAKE, PUT, CUT, OPEN, "adjust")),
    "nouns": sorted((KNIFE, CUP, PLATE, VEGETABLE, TOOL)),
}
LTA_TAXONOMY = {"verbs": sorted((TAKE, PUT, CUT, OPEN)), "nouns": sorted((KNIFE, CUP, PLATE, VEGETABLE))}


class Action(NamedTuple):
    """One narrated action over frames [start, end) of a video, annotated in a clip.

    noun: of its object of change; None: `frames` is null. case: what is special about it. rounded: its times have seven
    decimals, as some of Ego4D's have, so that they lie slightly before their frames.
    """

    clip: str
    start: float
    end: float
    verb: str | None
    noun: str | None
    text: str
    case: str = ""
    is_valid: bool = True
    is_rejected: bool = False
    is_invalid: bool = False
    is_partial: bool = False
    stage: str | None = "post"
    rounded: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether it is valid, not rejected and has a stage."""
        return self.is_valid and not self.is_rejected and not self.is_invalid and self.stage is not None

    def times(self, video: VideoPlan) -> tuple[float, float]:
        """start_sec and end_sec in the files."""
        start, end = video.sec(self.start), video.sec(self.end)
        return (round(start, 7), round(end, 7)) if self.rounded else (start, end)


ACTIONS = (
    Action("FHO:plain:0", 30, 90.5, TAKE, KNIFE, "#C C picks up the knife"),
    Action("FHO:plain:0", 75, 136, PUT, CUP, "#C C puts down the cup", "overlaps another"),
    Action("FHO:plain:0", 140, 170, CUT, KNIFE, "#C C cuts the air", "rejected", is_rejected=True),
    Action("FHO:plain:0", 141, 171, OPEN, CUP, "#C C opens the cup", "invalid annotation", is_invalid=True),
    Action("FHO:plain:0", 142, 172, None, None, "#C C looks around", "not a valid action", is_valid=False),
    Action("FHO:plain:0", 143, 173, TAKE, PLATE, "#C C takes the plate", "no stage", stage=None),
    Action("FHO:plain:0", 190, 220.5, None, CUP, "#C C tickles the cup", "no structured verb"),
    Action("FHO:plain:0", 240, 271, CUT, None, "#C C slices something", "no frames"),
    Action("FHO:plain:0", 299, 330, OPEN, VEGETABLE, "#C C opens the vegetable", "partial, ends", is_partial=True),
    Action("FHO:multi:0", 20, 81, OPEN, PLATE, "#C C opens the plate", "of the train clip"),
    Action("FHO:multi:1", 200, 260.5, CUT, VEGETABLE, "#C C cuts the vegetable", "of the val clip"),
    Action("FHO:multi:1", 289, 329.5, TAKE, CUP, "#C C takes the cup", "of the val clip"),
    Action("FHO:offset:0", 31, 90, PUT, KNIFE, "#C C drops the knife"),
    Action("FHO:offset:0", 121, 181, TAKE, VEGETABLE, "#C C takes the vegetable", "rounded", rounded=True),
    Action("FHO:offset:1", 240, 299.5, CUT, CUP, "#C C cuts the cup", "interval without a clip"),
    Action("FHO:stereo:0", 60, 121, OPEN, CUP, "#C C opens the cup"),
    Action("FHO:stereo:0", 200.5, 261, CUT, VEGETABLE, "#C C chops the vegetable"),
    Action("FHO:redacted:0", 10, 71, OPEN, VEGETABLE, "#C C opens the vegetable"),
    Action("FHO:redacted:0", 101, 160, TAKE, PLATE, "#C C grabs the plate", "partly redacted"),
    Action("FHO:absent:0", 40, 101, TAKE, CUP, "#C C gets the cup", "no file"),
    Action("FHO:short:0", 30, 91, PUT, PLATE, "#C C leaves the plate"),
    Action("FHO:short:0", 211, 271, CUT, KNIFE, "#C C trims the knife", "straddles the file's end"),
)
TEST_SEGMENTS = ((30, 90), (91, 150.5), (211, 300))  # of LTA's test clip, without labels
BENCHMARKS = {  # the benchmarks whose files list a clip; none of them lists all clips
    "FHO:plain:0": ("lta", "sta", "oscc-pnr"),
    "FHO:multi:0": ("lta",),
    "FHO:multi:1": ("oscc-pnr",),
    "FHO:offset:0": ("sta",),
    "FHO:stereo:0": ("lta", "sta"),
    "FHO:redacted:0": ("lta",),
    "FHO:absent:0": ("lta", "oscc-pnr"),
    "FHO:short:0": ("lta", "oscc-pnr"),
    "FHO:test:0": ("lta", "sta", "oscc-pnr"),
}


class NamedAction(NamedTuple):
    """A usable action with a verb and a noun."""

    action: Action
    verb: str
    noun: str


def actions_of(plan: Plan, benchmark: str, split: str) -> list[NamedAction]:
    """The actions of the file fho_<benchmark>_<split>.json, by start: usable, with a verb and a noun."""
    keys = [key for key, listed_in in BENCHMARKS.items() if benchmark in listed_in and plan.clips[key].split == split]
    usable = [action for action in ACTIONS if action.clip in keys and action.is_usable]
    return [NamedAction(action, action.verb, action.noun) for action in usable if action.verb and action.noun]


def fho_windows(plan: Plan) -> dict[str, tuple[Window, ...]]:
    """Expected windows of the kinds fho_verbs, fho_nouns, lta_verbs and lta_nouns."""
    usable = [action for action in ACTIONS if action.is_usable]
    lta = [named.action for split in ("train", "val") for named in actions_of(plan, "lta", split)]
    clip = plan.clips["FHO:test:0"]
    whole = (Window(clip.video.uid, clip.start_sec, clip.end_sec, None, "test", clip.uid, "test"),)
    segments = tuple(
        Window(clip.video.uid, clip.video.sec(start), clip.video.sec(end), None, "test", clip.uid, "test")
        for start, end in TEST_SEGMENTS
    )
    return {
        "fho_verbs": tuple(_window(plan, action, action.verb) for action in usable) + whole,
        "fho_nouns": tuple(_window(plan, action, action.noun) for action in usable) + whole,
        "lta_verbs": tuple(_window(plan, action, action.verb) for action in lta) + segments,
        "lta_nouns": tuple(_window(plan, action, action.noun) for action in lta) + segments,
    }


def _window(plan: Plan, action: Action, name: str | None) -> Window:
    clip = plan.clips[action.clip]
    return Window(clip.video.uid, *action.times(clip.video), name, clip.split, clip.uid, action.case)
