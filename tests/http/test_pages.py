"""What people see in a browser: folders, what is offered and wrong in them, and errors."""

import html
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.http.test_accept import FIREFOX
from tests.support.http import Bench, Response
from tests.support.trees import SMALL_TREE, write_tree
from tests.support.worker import LateWorker

MakeBench = Callable[..., Bench]

BROWSER = f"Accept: {FIREFOX}"
OFFERED = '<span class="mark good">offered</span>'
NOT_OFFERED = '<span class="mark bad">not offered</span>'


def row(page: str, name: str) -> str:
    """The row of an entry of a folder's page."""
    (found,) = [
        line
        for line in page.splitlines()
        if line.startswith("<tr>") and re.search(rf"<td>(<a [^>]*>)?{re.escape(name)}(<| )", line)
    ]
    return found


def title(page: str) -> tuple[str, str]:
    """A page's title, and its heading without marks."""
    heading = re.search("<h1>(.*?)( <span.*)?</h1>", page)
    whole = re.search("<title>(.*)</title>", page)
    assert heading is not None and whole is not None
    return html.unescape(whole[1]), html.unescape(heading[1])


def reasons(page: str) -> list[str]:
    """What is said to be wrong, as text."""
    items = re.findall("<li>(.*?)</li>", page)
    return [html.unescape(re.sub("<[^>]*>", "", item)) for item in items]


class TestTitles:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/", ("Releases", "Releases")),
            ("/1.0/flash/", ("1.0/flash \N{EN DASH} Releases", "1.0/flash")),
            ("/lopy4/", ("lopy4", "lopy4")),
            ("/lopy4/2.0/", ("2.0 \N{EN DASH} lopy4", "2.0")),
            ("/a/b/", ("a/b", "a/b")),
            ("/a/b/3.0/flash/", ("3.0/flash \N{EN DASH} a/b", "3.0/flash")),
        ],
    )
    def test_a_page_is_named_after_its_product(
        self, bench_of: MakeBench, path: str, expected: tuple[str, str]
    ) -> None:
        bench = bench_of({"1.0/flash/x": b"", "lopy4/2.0/flash/x": b"", "a/b/3.0/flash/x": b""})
        assert title(bench.ask(path).text) == expected

    def test_all_folders_above_are_linked(self, bench_of: MakeBench) -> None:
        page = bench_of({"a/b/3.0/flash/x": b""}).ask("/a/b/3.0/flash/").text
        links = re.findall('<a href="([^"]*)">([^<]*)</a>', page.partition("<h1>")[0])
        assert [(urljoin("/a/b/3.0/flash/", link), name) for link, name in links] == [
            ("/", "Releases"),
            ("/a/", "a"),
            ("/a/b/", "b"),
            ("/a/b/3.0/", "3.0"),
        ]


class TestWhatIsOffered:
    def test_it_is_marked(self, bench: Bench) -> None:
        page = bench.ask("/").text
        assert OFFERED in row(page, "1.0.1/")
        assert OFFERED in row(page, "firmware_1.0.1.bin")
        assert page.count(OFFERED) == 2
        assert re.search(
            'Offered now: release <a href="./1.0.1/">1.0.1</a>, '
            'firmware <a href="./firmware_1.0.1.bin">1.0.1</a>',
            page,
        )

    def test_it_is_marked_on_the_pages_in_it(self, bench: Bench) -> None:
        assert f"<h1>1.0.1/flash {OFFERED}</h1>" in bench.ask("/1.0.1/flash/").text
        assert OFFERED not in bench.ask("/1.0.0/").text

    def test_products_are_shown_with_what_they_offer(self, bench_of: MakeBench) -> None:
        page = bench_of(
            {"p/1.0/flash/x": b"", "p/firmware_2.0.bin": b"\xe9firmware", "docs/a": b""}
        ).ask("/")
        assert '<span class="dim">release 1.0, firmware 2.0</span>' in row(page.text, "p/")
        assert "offers nothing" in row(page.text, "docs/")
        assert "Nothing is offered here" not in page.text

    def test_an_empty_product_says_so(self, bench_of: MakeBench) -> None:
        assert "Nothing is offered here now." in bench_of({"p/note": b""}).ask("/p/").text


class TestWhatIsWrong:
    def test_the_reason_and_the_remedy_are_at_what_is_not_offered(
        self, bench_of: MakeBench
    ) -> None:
        bench = bench_of(SMALL_TREE | {"1.0.2/main.py": b""})
        entry = row(bench.ask("/").text, "1.0.2/")
        assert NOT_OFFERED in entry
        assert reasons(entry) == [
            "1.0.2/main.py is outside flash/ and sd/, so 1.0.2 is not offered. "
            "Move it there, or out of the release."
        ]
        entry = row(bench.ask("/1.0.2/").text, "main.py")
        assert '<span class="mark bad">1 problem</span>' in entry
        assert reasons(entry)[0].startswith("main.py is outside flash/ and sd/")

    def test_what_is_offered_to_some_says_to_whom_it_is_not(self, bench_of: MakeBench) -> None:
        page = bench_of(SMALL_TREE | {"0.9/flash/lib": b""}).ask("/").text
        entry = row(page, "1.0.1/")
        assert OFFERED in entry
        assert '<span class="mark bad">1 problem</span>' in entry
        assert "1.0.1 is not offered to devices on 0.9" in reasons(entry)[0]

    def test_what_is_wrong_with_a_folder_itself_comes_before_its_entries(
        self, bench_of: MakeBench
    ) -> None:
        bench = bench_of({"p/1.0/flash/x": b"", "p/1.0.0/flash/x": b""})
        page = bench.ask("/p/").text
        assert reasons(page.partition("<table>")[0]) == [
            "p has versions of equal rank, 1.0 and 1.0.0, and offers none of them. Keep one."
        ]
        assert "1 problem" in row(bench.ask("/").text, "p/")

    def test_what_is_not_in_the_catalogue_has_a_row_all_the_same(
        self, bench: Bench, small_tree: Path
    ) -> None:
        (small_tree / "a link").symlink_to("/etc/passwd")
        write_tree(small_tree, {"1.0.2/flash/main.py.filepart": b""})
        bench.rescan()
        page = bench.ask("/").text
        assert '<span class="mark odd">left out</span>' in row(page, "a link")
        assert NOT_OFFERED in row(page, "1.0.2")
        assert "is an unfinished upload" in reasons(row(page, "1.0.2"))[0]
        assert "href" not in row(page, "1.0.2") + row(page, "a link")

    def test_it_is_gone_once_it_is_mended(self, bench: Bench, small_tree: Path) -> None:
        link = small_tree / "link"
        link.symlink_to("/etc/passwd")
        bench.rescan()
        assert len(reasons(bench.ask("/").text)) == 1
        link.unlink()
        bench.rescan()
        assert reasons(bench.ask("/").text) == []

    def test_other_products_problems_are_on_their_own_pages(self, bench_of: MakeBench) -> None:
        bench = bench_of({"p/1.0/x": b"", "pp/1.0/x": b"", "q/1.0/flash/x": b""})
        assert len(reasons(bench.ask("/p/").text)) == 1
        assert reasons(bench.ask("/q/").text) == []
        assert len(reasons(bench.ask("/").text)) == 2

    def test_of_very_many_reasons_a_row_gives_the_first(self, root: Path) -> None:
        (root / "p").mkdir()
        for number in range(20):
            (root / f"p/link{number:02}").symlink_to("/etc/passwd")
        bench = Bench(root)
        given = reasons(row(bench.ask("/").text, "p/"))
        assert len(given) == 6
        assert given[-1] == "15 more"
        assert len(reasons(bench.ask("/p/").text)) == 20

    def test_a_page_of_many_problems_is_drawn_beside_the_reactor(self, root: Path) -> None:
        for number in range(600):
            (root / f"link{number}").symlink_to("/etc/passwd")
        worker = LateWorker()
        client = Bench(root, worker=worker).client()
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.answers() == []
        worker.work()
        assert len(reasons(client.answers()[0].text)) == 600


HOSTILE = ["<script>alert(1)<", 'a" onclick="x', "'&lt;", "javascript:alert(1)", "\u202egnp.a"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_can_not_break_out_of_any_part_of_a_page(root: Path, name: str) -> None:
    write_tree(root, {f"{name}/1.0{name}/{name}": b"", f"{name}/firmware-{name}.bin": b""})
    (root / f"{name}/{name}").symlink_to("/etc/passwd")
    os.mkfifo(root / f"1{name}")
    bench = Bench(root)
    pages = [bench.ask("/").text]
    pages += [bench.ask(f"/{quoted(name)}/{path}", BROWSER).text for path in ("", "1.0x/y/")]
    pages.append(bench.ask(f"/{quoted(name)}/1.0{quoted(name)}/").text)
    assert len(reasons("".join(pages))) > 4
    for page in pages:
        assert not re.search('<(script|b>bold)|\u202e| onclick="|href="javascript', page)
        # Nothing but the tags that the page itself is made of.
        assert set(re.findall("<([a-z0-9]+)", page.partition("<body>")[2])) <= {
            "a", "b", "h1", "li", "nav", "p", "span", "table", "tbody", "td", "th", "thead", "tr",
            "ul",
        }  # fmt: skip


def quoted(name: str) -> str:
    return "".join(f"%{byte:02X}" for byte in name.encode())


class TestErrors:
    def link(self, bench: Bench, path: str, **options: str) -> str:
        """Where the link of an error's page leads, for a browser."""
        answer = bench.ask(path, BROWSER, **options)
        assert answer.fields["Content-Type"] == "text/html; charset=utf-8"
        (link,) = re.findall('href="([^"]*)"', answer.text)
        return urljoin(path, html.unescape(link))

    @pytest.mark.parametrize(
        ("path", "back"),
        [
            ("/nothing", "/"),
            ("/nothing/at/all/", "/"),
            ("/1.0.1/nothing", "/1.0.1/"),
            ("/1.0.1/nothing/", "/1.0.1/"),
            ("/1.0.1/flash/lib/x/y/z?q=/a/b", "/1.0.1/flash/lib/"),
            ("/1.0.1/flash/main.py/", "/1.0.1/flash/"),
            ("/1.0.0/manifest.json", "/1.0.0/"),
            ("/%2e%2e/etc/passwd", "/"),
            ("/%zz", "/"),
        ],
    )
    def test_a_browser_gets_a_way_back(self, bench: Bench, path: str, back: str) -> None:
        assert self.link(bench, path) == back
        assert bench.ask(back, BROWSER).status == 200

    def test_it_leads_back_from_a_file_that_was_removed(
        self, bench: Bench, small_tree: Path
    ) -> None:
        (small_tree / "1.0.1/flash/main.py").unlink()
        assert self.link(bench, "/1.0.1/flash/main.py") == "/1.0.1/flash/"

    def test_it_leads_from_a_folder_to_itself(self, bench: Bench) -> None:
        assert self.link(bench, "/1.0.1/flash", method="POST") == "/1.0.1/flash/"
        assert self.link(bench, "/1.0.1/flash/", method="POST") == "/1.0.1/flash/"

    def test_it_leads_to_folders_of_any_name(self, bench_of: MakeBench) -> None:
        bench = bench_of({"a?b#c/1.0/flash/x": b""})
        assert self.link(bench, "/a%3Fb%23c", method="POST") == "/a%3Fb%23c/"

    def test_it_stays_below_the_path_of_a_proxy(self, bench: Bench) -> None:
        answer = bench.ask("/1.0.1/nothing/x", BROWSER)
        (link,) = re.findall('href="([^"]*)"', answer.text)
        assert urljoin("/proxy/1.0.1/nothing/x", link) == "/proxy/1.0.1/"

    def test_the_page_says_what_the_sentence_says(self, bench: Bench) -> None:
        page = bench.ask("/nothing", BROWSER)
        assert page.status == 404
        assert title(page.text) == ("404 Not Found", "404 Not Found")
        assert "<p>There is nothing at this address.</p>" in page.text
        assert "Content-Security-Policy" in page.fields
        assert page.fields["Cache-Control"] == "no-store"

    def test_the_fields_of_an_error_are_kept(self, bench: Bench) -> None:
        assert bench.ask("/", BROWSER, method="POST").fields["Allow"] == "GET, HEAD, OPTIONS"
        bench.catalogue = None
        answer = bench.ask("/1.0.1/", BROWSER)
        assert (answer.status, answer.fields["Retry-After"]) == (503, "1")
        assert self.link(bench, "/1.0.1/") == "/"

    @pytest.mark.parametrize("lines", [(), ("Accept: */*",), ("Accept: text/plain",)])
    def test_devices_and_tools_get_the_plain_sentence(
        self, bench: Bench, lines: tuple[str, ...]
    ) -> None:
        answer: Response = bench.ask("/nothing", *lines)
        assert answer.fields["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.text == "There is nothing at this address.\n"

    def test_head_says_what_get_says(self, bench: Bench) -> None:
        get, head = (bench.ask("/no", BROWSER, method=method) for method in ("GET", "HEAD"))
        assert (head.fields, head.body) == (get.fields, b"")

    def test_what_a_browser_got_is_not_kept_for_others(self, bench: Bench) -> None:
        assert "<html" in bench.ask("/nothing", BROWSER).text
        assert "<html" not in bench.ask("/nothing").text
