"""The command push-student: share an exported student on the Hugging Face Hub."""

import tempfile
from pathlib import Path

from embedonce.pipeline.commands.click_options import command
from embedonce.pipeline.commands.hub_options import BRANCH, DRY_RUN, LICENSE, PRIVATE, REPO
from embedonce.pipeline.commands.output import echo, show
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.settings import shared
from embedonce.pipeline.settings.options import STUDENT, Option

EXPORT_DIR = Option(
    name="export_dir",
    value_type=Path,
    default=shared.RESULTS / "export",
    help="Folder that export-student wrote.",
    group=STUDENT,
)
CHECKPOINT = Option(
    name="student_checkpoint",
    value_type=Path,
    help="Checkpoint of the same student, to upload as well, so that others can evaluate it.",
    group=STUDENT,
    default_text="none",
)


@command("push-student", EXPORT_DIR, CHECKPOINT, REPO, LICENSE, PRIVATE, BRANCH, DRY_RUN)
def push_student(
    export_dir: Path,
    student_checkpoint: Path | None,
    repo: str,
    license: str | None,
    private: bool,
    revision: str | None,
    dry_run: bool,
) -> None:
    """Share an exported student on the Hugging Face Hub, where timm loads its backbone by name."""
    from embedonce.pipeline.hub.client import Hub
    from embedonce.pipeline.hub.push_student import CARD_NAME, student_files
    from embedonce.pipeline.hub.push_student import push_student as push
    from embedonce.pipeline.hub.repositories import check_license, check_repo, check_revision

    check_repo(repo)
    check_revision(revision)
    files = student_files(export_dir, student_checkpoint, repo, check_license(license))
    for name, data in files.items():
        echo(f"{name}: {in_bytes(len(data))}")
    if dry_run:
        show(f"\n{files[CARD_NAME].decode()}")
        return
    hub = Hub(repo, "model")
    hub.check_login()
    hub.create(private, revision)
    with tempfile.TemporaryDirectory(prefix="embedonce-push-") as work:
        push(hub, files, revision, Path(work))
    echo(f"{hub.address}: {len(files)} files")
