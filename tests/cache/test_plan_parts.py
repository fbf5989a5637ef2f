"""Extensions of the plan are cut into parts of bounded size."""

import itertools
from contextlib import closing
from unittest import mock

import pytest

from embedonce.cache import plan_parts, writer as cache_writer
from embedonce.cache.convert import convert
from embedonce.cache.plan import cut_units
from embedonce.cache.plan_parts import cut_parts
from embedonce.cache.rebuild import rebuild_plan
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from tests.conftest import make_cache_identity, planned_segment, planned_video
from tests.support.planned_cache import commit_units

ROWS = {"a": 3, "b": 20, "c": 5, "d": 1}
SMALL = 2500  # bytes of a part: a video and a unit or two


def planned(rows=ROWS):
    videos = [planned_video(uid, num_requests=count) for uid, count in rows.items()]
    return videos, cut_units([planned_segment(uid, count) for uid, count in rows.items()], 4, 0)
