"""The subcommands of the ``otaserver`` command, which prepare and check releases."""
