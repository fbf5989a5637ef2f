"""Videos that were removed for good from one of the caches of a merge: they do not come into the target."""

from collections.abc import Sequence

from embedonce.cache.errors import some
from embedonce.cache.merging.inputs import MergeConflictError, OpenCache
from embedonce.cache.withdrawn import WithdrawnVideo, WithdrawnVideos


class Withdrawals:
    """What was removed for good from these caches. target: None if it does not exist yet."""

    def __init__(self, inputs: Sequence[OpenCache], target: OpenCache | None):
        self._inputs, self._target = inputs, target
        self._of_inputs = WithdrawnVideos.of(video for cache in inputs for video in cache.withdrawn.values())
        self._of_target = WithdrawnVideos.of(() if target is None else target.withdrawn.values())

    def has(self, uid: str, fingerprint: str = "") -> bool:
        """Whether a video was removed from one of the caches, by its uid or its content."""
        both = (self._of_inputs, self._of_target)
        return any(videos.has_name(uid) or videos.has_content(fingerprint) for videos in both)

    def refuse_held(self) -> None:
        """MergeConflictError if the target has a video that was removed from an input."""
        if self._target is None:
            return
        planned, withdrawn = self._target.plan.videos, self._of_inputs
        held = [uid for uid, v in planned.items() if withdrawn.has_name(uid) or withdrawn.has_content(v.fingerprint)]
        held += [name for name in self._target.quarantined if withdrawn.has_name(name) and name not in planned]
        if held:
            raise MergeConflictError(
                f"{self._target.name} has videos that were removed from an input for good: {len(held)} ({some(held)}). "
                "Nothing was changed; remove them there with remove --video, or take that back in the input with "
                "refresh --video, and merge again"
            )

    def new(self) -> dict[str, WithdrawnVideo]:
        """The documents of the inputs that the target lacks, or that know of a fingerprint which it does not know."""
        known = {} if self._target is None else dict(self._target.withdrawn)
        found: dict[str, WithdrawnVideo] = {}
        for cache in self._inputs:
            for name, video in cache.withdrawn.items():
                before = known.setdefault(name, video)
                if before is video or (video.fingerprint_sha256 and not before.fingerprint_sha256):
                    found[name] = known[name] = video
        return found
