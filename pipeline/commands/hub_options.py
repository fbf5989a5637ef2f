"""The options that the commands for the Hugging Face Hub share."""

from embedonce.pipeline.settings.options import OUTPUT, Option

REPO = Option(name="repo", help="Repository on the Hugging Face Hub: USER/NAME.", group=OUTPUT, is_required=True)
LICENSE = Option(
    name="license",
    help="Identifier of the license that you share it under, such as cc-by-4.0; required.",
    group=OUTPUT,
)
PRIVATE = Option(
    name="private", value_type=bool, default=False, help="Create the repository as a private one.", group=OUTPUT
)
BRANCH = Option(
    name="revision", help="Branch to push to; created if it does not exist.", group=OUTPUT, default_text="main"
)
DRY_RUN = Option(
    name="dry_run",
    value_type=bool,
    default=False,
    help="Print what would be uploaded, and upload nothing.",
    group=OUTPUT,
)
