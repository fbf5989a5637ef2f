"""The Hugging Face Hub: what pushes and pulls need of huggingface_hub, with its failures as one sentence.

huggingface_hub is imported when a client is made.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedonce.models.hub import hub_endpoint
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.hub.failures import explanation
from embedonce.pipeline.settings.paths import without_secrets, without_secrets_in

Additions = Sequence[Any]  # of huggingface_hub.CommitOperationAdd


class HubError(PipelineError):
    """The hub cannot be used now, or refuses."""


@dataclass(frozen=True)
class RemoteFile:
    """A file in a repository: its size in bytes, its git blob id, and its SHA-256 if it is stored as a large file."""

    size: int
    blob_id: str
    sha256: str | None


class Hub:
    """One repository on the hub. kind: "dataset" or "model". All methods raise HubError.

    ModelError if HF_ENDPOINT is no address.
    """

    def __init__(self, repo: str, kind: str):
        self.repo, self.kind = repo, kind
        self._endpoint = hub_endpoint()
        import huggingface_hub
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()  # they are one for each file
        logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # of retries; the final error has the reason
        self._module = huggingface_hub
        self._api = huggingface_hub.HfApi(endpoint=self._endpoint)

    @property
    def address(self) -> str:
        """The page of the repository, without user name and password if the hub is reached by some."""
        return f"{self._host}/{'datasets/' if self.kind == 'dataset' else ''}{self.repo}"

    @property
    def _host(self) -> str:
        return without_secrets(self._api.endpoint)

    def check_login(self) -> None:
        """HubError unless there is a token that the hub accepts."""
        with self._explained("log in"):
            self._api.whoami()

    def create(self, is_private: bool, branch: str | None) -> None:
        """Create the repository, and the branch, unless they exist. HubError if it exists and should be private."""
        with self._explained("create it"):
            self._api.create_repo(self.repo, repo_type=self.kind, private=is_private or None, exist_ok=True)
            if is_private and not self._api.repo_info(self.repo, repo_type=self.kind).private:
                raise HubError(f"{self.address} exists and is public: make it private there, or leave out --private")
            if branch is not None:
                self._api.create_branch(self.repo, branch=branch, repo_type=self.kind, exist_ok=True)

    def commit_of(self, revision: str | None) -> str:
        """The commit that a branch or tag is at now."""
        with self._explained("read it", revision):
            return str(self._api.repo_info(self.repo, revision=revision, repo_type=self.kind).sha)

    def files(self, commit: str) -> dict[str, RemoteFile]:
        """name -> file, of all files of a commit."""
        with self._explained("list its files"):
            listed = self._api.list_repo_tree(self.repo, recursive=True, revision=commit, repo_type=self.kind)
            files = [entry for entry in listed if isinstance(entry, self._module.hf_api.RepoFile)]
        return {f.path: RemoteFile(f.size, f.blob_id, f.lfs.sha256 if f.lfs else None) for f in files}

    def addition(self, name: str, content: bytes | Path) -> Any:
        """A file to upload. content: its bytes, or where it is."""
        source = content if isinstance(content, bytes) else str(content)
        return self._module.CommitOperationAdd(path_in_repo=name, path_or_fileobj=source)

    def upload(self, additions: Additions, revision: str | None) -> None:
        """Upload the content of large files, but those that the hub has already; visible after a commit."""
        with self._explained("upload files"):
            self._api.preupload_lfs_files(self.repo, additions, repo_type=self.kind, revision=revision)

    def commit(
        self, additions: Additions, deleted: Sequence[str], message: str, revision: str | None, parent: str
    ) -> str:
        """Make one commit, after a commit that must still be the last one; returns the new one."""
        deletions = [self._module.CommitOperationDelete(name) for name in deleted]
        with self._explained("commit files"):
            made = self._api.create_commit(
                self.repo,
                [*additions, *deletions],
                commit_message=message,
                repo_type=self.kind,
                revision=revision,
                parent_commit=parent,
            )
        return str(made.oid)

    def download(self, name: str, commit: str, folder: Path) -> None:
        """Write a file of a commit to a folder under its name; what was begun there is continued."""
        with self._explained(f"download {name}"):
            self._module.hf_hub_download(
                self.repo, name, repo_type=self.kind, revision=commit, local_dir=folder, endpoint=self._endpoint
            )

    @contextlib.contextmanager
    def _explained(self, action: str, revision: str | None = None) -> Iterator[None]:
        """Failures of the hub and of the network as HubError. Errors of this machine's disk pass."""
        try:
            yield
        except PipelineError:
            raise
        except Exception as error:
            sentence = explanation(error, f"{self.kind} {self.repo}", action, self._host, revision)
            if sentence is None:
                raise
            raise HubError(_without_secrets(sentence)) from error


def _without_secrets(text: str) -> str:
    """Without the token, and without the signatures in addresses that large files are sent to."""
    from huggingface_hub import get_token

    token = get_token()
    return without_secrets_in(text.replace(token, "***") if token else text)
