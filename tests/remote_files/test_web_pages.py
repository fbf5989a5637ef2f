"""Index pages of web servers: the files of the folder, whatever the page looks like and whatever else it links to."""

from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="aiohttp is not installed: pip install -e '.[http,test]'")

from embedonce.cache.errors import StorageError
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.remote_files import web_pages
from embedonce.pipeline.remote_files.addresses import encoded
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
from tests.support.remote_runs import new_run
from tests.support.web_server import file_answers, serving


@pytest.fixture(autouse=True)
def run(tmp_path):
    with new_run(tmp_path / "copies"):
        yield


def pages(answers: dict[str, str]):
    """A server of pages by path; other paths are files that contain their own path with its query."""

    def answer(path: str, headers: dict[str, str]):
        page = answers.get(path.partition("?")[0])
        if page is None:
            return 200, {"ETag": '"1"', "Content-Type": "video/mp4"}, path.encode()
        if page.startswith("-> "):
            return 302, {"Location": page.removeprefix("-> ")}, b""
        return 200, {"Content-Type": "text/html; charset=utf-8"}, page.encode()

    return serving(answer)


def links(*targets: str) -> str:
    return "".join(f'<li><A class=x HREF="{target}">…</a>\n' for target in targets)


def names(url: str) -> list[str]:
    return RemoteFolder(url).names()


def content(url: str, name: str) -> bytes:
    folder = RemoteFolder(url)
    assert name in folder.names() and folder.describe([name]) == {}
    with (folder / name).open() as file:
        return file.read()


def test_links_below_the_folder_are_its_files_and_all_others_are_left_out():
    found = (
        "a.mp4",
        "./b.mp4",
        "/v/c.mp4",
        "{0}/v/d.mp4#t=10",
        "sub/",
        "/v/sub/",
        "x%20%23y.mp4",
        "&#101;.mp4?k=1&amp;l=2",
    )
    others = (
        "../",
        "/",
        "/v/",
        "?C=N;O=D",
        "/v2/x.mp4",
        "../w/x.mp4",
        "//other/v/x.mp4",
        "ftp://x/v/a.mp4",
        "mailto:a@b",
    )
    broken = ("http://[v/a.mp4", "", "javascript:void(0)")
    tree = {"/v/": links(*found, *others, *broken), "/v/sub/": links("../", "f.mp4", "../sub/")}
    with pages(tree) as (address, _):
        tree["/v/"] = tree["/v/"].replace("{0}", address)
        wanted = ["a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4", "sub/f.mp4", "x #y.mp4"]
        assert names(f"{address}/v/") == wanted
        assert content(f"{address}/v/", "e.mp4") == b"/v/e.mp4?k=1&l=2"


@pytest.mark.parametrize(
    ("url", "page"), [("/v", "/v"), ("/v/", "/v/"), ("/v/index.html", "/v/index.html"), ("/v/List.HTM", "/v/List.HTM")]
)
def test_a_page_is_that_of_its_folder_however_its_url_ends(url, page):
    with pages({page: links("/v/a.mp4", "/w/b.mp4")}) as (address, _):
        assert names(f"{address}{url}") == ["a.mp4"]


def test_a_redirection_to_the_folder_is_followed():
    with pages({"/v": "-> /w/", "/w/": links("a.mp4")}) as (address, _):
        assert names(f"{address}/v") == ["a.mp4"]


def test_a_token_is_sent_with_every_request_and_signed_links_keep_theirs():
    with pages({"/v/": links("a.mp4", "b.mp4?sig=own%2F1", "sub/"), "/v/sub/": links("c.mp4")}) as (address, traffic):
        url = f"{address}/v/?token=secret%2B"
        assert names(url) == ["a.mp4", "b.mp4", "sub/c.mp4"]
        assert content(url, "b.mp4") == b"/v/b.mp4?sig=own%2F1"
        assert content(url, "sub/c.mp4") == b"/v/sub/c.mp4?token=secret%2B"
        assert "secret" not in str(RemoteFolder(url))
        assert {request.split()[1] for request in traffic.requests if "/v/ " in request} == set()


def test_a_signed_url_of_one_file_is_a_folder_of_it():
    with pages({}) as (address, _):
        url = f"{address}/v/my%20video.mp4?X-Signature=secret%2F"
        assert content(url, "my video.mp4") == b"/v/my%20video.mp4?X-Signature=secret%2F"
        folder = RemoteFolder(url)
        folder.names()
        assert "secret" not in f"{folder} {folder / 'my video.mp4'} {folder / 'my video.mp4'!r}"


def test_names_that_would_lead_elsewhere_stay_one_part(tmp_path):
    with pages({"/v/": links("a%2Fb.mp4", "%2e%2e/", "%2e%2e/c.mp4", "d%5Ce.mp4")}) as (address, _):
        assert names(f"{address}/v/") == ["../c.mp4", "a%2Fb.mp4", "d\\e.mp4"]  # the walk refuses the first and last


def test_pages_without_end(monkeypatch):
    monkeypatch.setattr(web_pages, "MAX_LINKS", 100)

    def deeper(path: str, headers: dict[str, str]):
        return 200, {"Content-Type": "text/html"}, links("a.mp4", "deeper/").encode()

    with serving(deeper) as (address, _), pytest.raises(StorageError, match="have more than 100 links"):
        names(f"{address}/v/?token=secret")


def test_a_page_that_is_too_large_is_not_kept_in_memory(monkeypatch):
    monkeypatch.setattr(web_pages, "MAX_PAGE_BYTES", 1 << 20)
    too_large = pytest.raises(StorageError, match="/v/ is a page of more than 1048576 bytes")
    with pages({"/v/": links("a.mp4") * (1 << 16)}) as (address, _), too_large:
        names(f"{address}/v/")


def test_a_page_that_breaks_off_is_asked_for_again():
    with pages({"/v/": links(*(f"{n}.mp4" for n in range(100)))}) as (address, traffic):
        traffic.faults += ["truncated", 500, "truncated"]
        assert len(names(f"{address}/v/")) == 100 and traffic.faults == []


def test_a_link_without_the_last_slash_of_a_folder_is_a_file_that_is_no_video():
    with pages({"/v/": links("sub", "a.mp4"), "/v/sub": links("b.mp4")}) as (address, _):
        assert names(f"{address}/v/") == ["a.mp4", "sub"]


def test_a_folder_that_is_not_there(tmp_path):
    with serving(file_answers(tmp_path)) as (address, _), pytest.raises(InputError, match="/none does not exist"):
        names(f"{address}/none")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("HTTPS://Host/my videos/ä.mp4", "https://Host/my%20videos/%C3%A4.mp4"),
        ("https://h/a%20b%2Fc?t=%2B+x y#part", "https://h/a%20b%2Fc?t=%2B+x%20y"),
        ("https://h", "https://h"),
        ("https://h/a\udcff", "https://h/a%FF"),
    ],
)
def test_urls_are_sent_as_given_but_for_characters_that_they_cannot_have(given, sent):
    assert encoded(given) == sent and encoded(sent) == sent


def test_names_in_any_encoding_are_those_of_the_local_files(tmp_path):
    root = tmp_path / "files"
    root.mkdir()
    wanted = [b"\xff.mp4", "ä.mp4".encode(), b"100%.mp4", b"a+b&c=d;e.mp4", b"x'y\"z.mp4", b"[1].mp4"]
    for name in wanted:
        (Path(str(root)) / name.decode("utf-8", "surrogateescape")).write_bytes(name)
    with serving(file_answers(root)) as (address, _):
        assert names(f"{address}/") == sorted(name.decode("utf-8", "surrogateescape") for name in wanted)
        for name in names(f"{address}/"):
            assert content(f"{address}/", name) == name.encode("utf-8", "surrogateescape")


def test_credentials_come_from_netrc(tmp_path, monkeypatch):
    def protected(path: str, headers: dict[str, str]):
        if headers.get("authorization") != "Basic bWU6c2VjcmV0":
            return 401, {}, b""
        return 200, {"Content-Type": "text/html"}, links("a.mp4").encode()

    with serving(protected) as (address, _):
        with pytest.raises(StorageError, match=r"access is refused \(401\)"):
            names(f"{address}/")
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert names(f"{address}/") == ["a.mp4"]
