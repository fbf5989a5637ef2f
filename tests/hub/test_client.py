"""The sentences for failures of the hub never have the token in them."""

import pytest

from embedonce.models.errors import ModelError
from embedonce.models.hub import quiet_hub
from embedonce.pipeline.hub.client import Hub, HubError
from tests.support.fake_hub import TOKEN, hub

__all__ = ["hub"]


def test_a_token_in_an_error_is_masked(hub):
    client = Hub("ann/kitchen", "dataset")
    with pytest.raises(HubError) as raised, client._explained("try"):
        raise ValueError(f"the header 'Bearer {TOKEN}' is malformed")
    assert TOKEN not in str(raised.value) and "Bearer ***" in str(raised.value)


def test_errors_of_the_disk_pass(hub):
    with pytest.raises(OSError, match="No space"), Hub("ann/kitchen", "dataset")._explained("try"):
        raise OSError(28, "No space left on device")


def test_passwords_and_signatures_in_addresses_are_not_shown(hub, monkeypatch):
    place = hub.address.removeprefix("http://")
    monkeypatch.setenv("HF_ENDPOINT", f"http://ann:s3cret@{place}")
    client = Hub("ann/kitchen", "dataset")
    assert client.address == f"{hub.address}/datasets/ann/kitchen"
    with pytest.raises(HubError) as raised, client._explained("try"):
        raise ConnectionError("no answer from https://bucket.example/object?X-Amz-Signature=s3cret")
    assert str(raised.value).startswith(f"{hub.address} cannot be reached") and "s3cret" not in str(raised.value)


@pytest.mark.parametrize("address", ["http://[bad", "hub.example", "ftp://hub.example", "http://", "http://x:port"])
def test_what_is_no_address_of_a_hub_is_a_sentence(monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    for use in (lambda: Hub("ann/kitchen", "dataset"), quiet_hub):  # also when a teacher is downloaded
        with pytest.raises(ModelError, match=r"HF_ENDPOINT is .* not an address"):
            use()
