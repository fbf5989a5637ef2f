"""The command push-cache: share a cache on the Hugging Face Hub."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.hub_options import BRANCH, DRY_RUN, LICENSE, PRIVATE, REPO
from embedonce.pipeline.commands.output import echo, show
from embedonce.pipeline.console.next_commands import next_line
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.options import CACHE, Option

if TYPE_CHECKING:
    from embedonce.pipeline.hub.push_cache import Share

FRAMES = Option(
    name="frames",
    value_type=bool,
    default=True,
    help="Share the whole cache, frames included; or its embeddings and label sets alone, as Parquet and JSON.",
    group=CACHE,
)
RIGHT = Option(
    name="i_have_the_right_to_share",
    value_type=bool,
    default=False,
    help="Share a cache of a public data set whose license may not allow it: you have read it, and may.",
    group=CACHE,
)


@command(
    "push-cache",
    *(shared.CACHE_DIR.named("cache_dir", Path), FRAMES, RIGHT, REPO, LICENSE, PRIVATE, BRANCH, DRY_RUN),
)
def push_cache(
    cache_dir: Path | str,
    repo: str,
    license: str | None,
    frames: bool,
    i_have_the_right_to_share: bool,
    private: bool,
    revision: str | None,
    dry_run: bool,
) -> None:
    """Share a cache on the Hugging Face Hub, with a data set card.

    The cache is verified first. A push that was stopped continues: only what the hub lacks is uploaded.
    """
    from embedonce.pipeline.hub.client import Hub
    from embedonce.pipeline.hub.push_cache import PushRequest, prepared
    from embedonce.pipeline.hub.repositories import check_license, check_repo, check_revision
    from embedonce.pipeline.hub.uploading import push

    place = (check_repo(repo), check_license(license), frames, private, check_revision(revision))
    hub = None if dry_run else Hub(repo, "dataset")
    if hub is not None:
        hub.check_login()  # before a long verification
    with prepared(PushRequest(cache_dir, *place, i_have_the_right_to_share)) as share:
        for line in _lines(share):
            echo(line)
        if hub is None:
            show(f"\n{share.card.decode()}")
            return
        hub.create(private, revision)
        with tempfile.TemporaryDirectory(prefix="embedonce-push-") as work:
            push(hub, share, revision, Path(work))
    echo(f"{hub.address}: {len(share.manifest.files)} files")
    options = {"output_dir": Path(repo.rpartition("/")[2]), "revision": revision}
    echo(f"{next_line('pull-cache', options)} {repo}")


def _lines(share: "Share") -> list[str]:
    from embedonce.pipeline.console.units import in_bytes

    files = share.manifest.files
    lines = [f"{len(files)} files, {in_bytes(share.manifest.num_bytes)}, of {share.manifest.rows} frames:"]
    for folder in sorted({file.name.rpartition("/")[0] for file in files}):
        inside = [file for file in files if file.name.rpartition("/")[0] == folder]
        lines.append(f"  {folder or '.'}: {len(inside)} files, {in_bytes(sum(file.size for file in inside))}")
    left = ", ".join(share.left_out[:5])
    lines += [f"not shared: {len(share.left_out)} files ({left})"] if left else []
    return lines + [f"note: {remark}" for remark in share.remarks]
