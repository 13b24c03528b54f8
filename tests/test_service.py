"""The one face of the server, apart from both protocols."""

from pathlib import Path

from twisted.logger import capturedLogs, formatEvent

from otaserver.catalogue.paths import TreePath
from otaserver.encoded_manifests import EncodedManifests
from otaserver.service import ManifestRequest, UpdateServer
from tests.support.trees import files_of, scanned
from tests.support.worker import ImmediateWorker

MANIFEST = TreePath(("manifest.json",), is_folder=False)


def server_of(root: Path) -> UpdateServer:
    catalogue = scanned(root)
    manifests = EncodedManifests(ImmediateWorker(), 1 << 20)
    return UpdateServer(files_of(root), lambda: catalogue, manifests)


class TestVersionsThatCanNotBeRead:
    def test_they_count_as_unknown(self, small_tree: Path) -> None:
        found = server_of(small_tree).find(MANIFEST, b"current_ver=factory")
        assert isinstance(found, ManifestRequest)
        assert found.offer.base is None
        assert found.offer.release is not None

    def test_each_is_logged_once_for_whoever_reports_it(self, small_tree: Path) -> None:
        server = server_of(small_tree)
        with capturedLogs() as events:
            for _ in range(3):
                server.find(MANIFEST, b"current_ver=factory&firmware_ver=none")
            server.find(MANIFEST, b"current_ver=1.0.0&firmware_ver=1.20.0.rc11.1")
        assert [formatEvent(event) for event in events] == [
            "A device reports the version 'factory', which doesn't begin like one: "
            "it is taken for unknown.",
            "A device reports the version 'none', which doesn't begin like one: "
            "it is taken for unknown.",
        ]

    def test_inventing_them_fills_neither_the_log_nor_the_memory(self, small_tree: Path) -> None:
        server = server_of(small_tree)
        with capturedLogs() as events:
            for number in range(1000):
                server.find(MANIFEST, b"current_ver=x%d" % number)
        assert len(events) == 100
