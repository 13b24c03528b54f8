from tests.support.process import PROJECT


def test_the_plugins_folder_would_not_replace_twisted_s_own() -> None:
    assert not (PROJECT / "plugins" / "__init__.py").exists()


def test_the_package_says_that_it_is_typed() -> None:
    assert (PROJECT / "otaserver" / "py.typed").exists()


def test_what_runs_on_devices_never_imports_the_server() -> None:
    for folder in ("device", "releases"):
        for path in (PROJECT / folder).rglob("*.py"):
            assert "otaserver" not in path.read_text(), path


def test_the_modules_that_decide_import_no_twisted() -> None:
    for name in (
        "versions",
        "catalogue",
        "manifest",
        "update_request",
        "paths",
        "listing",
        "scan",
    ):
        text = (PROJECT / "otaserver" / f"{name}.py").read_text()
        assert "twisted" not in text, name
