"""Extensions of the plan are cut into parts of bounded size."""

from embedonce.cache.plan import cut_units
from tests.conftest import planned_segment, planned_video

ROWS = {"a": 3, "b": 20, "c": 5, "d": 1}
SMALL = 2500  # bytes of a part: a video and a unit or two


def planned(rows=ROWS):
    videos = [planned_video(uid, num_requests=count) for uid, count in rows.items()]
    return videos, cut_units([planned_segment(uid, count) for uid, count in rows.items()], 4, 0)
