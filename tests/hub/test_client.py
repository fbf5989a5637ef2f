"""The sentences for failures of the hub never have the token in them."""

import pytest

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
