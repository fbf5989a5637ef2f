"""What is taken out of logs, and what stays."""

import pytest

from embedonce.pipeline.settings.secrets import redacted

SECRETS = {
    "a password in a URL": ("get s3://key:hunter22@bucket/a?X-Amz-Signature=abc", "hunter22"),
    "a query": ("'https://host/a.mp4?token=abcdef'", "abcdef"),
    "an option": ("--token abcdef123", "abcdef123"),
    "an assignment": ("aws_secret_access_key = 'abcdef123'", "abcdef123"),
    "JSON": ('{"api_key": "abcdef123"}', "abcdef123"),
    "a header": ("Authorization: Bearer abcdef123", "abcdef123"),
    "a token of a hub": ("using hf_abcdefghijkl", "hf_abcdefghijkl"),
    "a key of AWS": ("id AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
    "a variable": ("sent correct-horse", "correct-horse"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_are_hidden(kind):
    text, secret = SECRETS[kind]
    assert secret not in redacted(text, {"MY_API_KEY": "correct-horse"})


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):\n  File \"/a/b.py\", line 3, in <module>\nKeyError: 'x'",
        "train-student --cache-dir results/teacher_cache --lr 0.001",
        "s3://bucket/prefix: 3 videos",
    ],
)
def test_other_text_stays(text):
    assert redacted(text, {"SHORT_KEY": "x", "KEY_FILE": "/a/b.py"}) == text
