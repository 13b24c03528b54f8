"""What clients are told when something goes wrong, in the same words over every protocol."""

FILE_CHANGING = "The file is being changed; try again."
FILE_REMOVED = "The file was removed."
NOTHING_HERE = "There is nothing at this address."
SERVER_FAILED = "The server failed; see its log."
TOO_MANY_CONNECTIONS = "There are too many connections; try again."
TREE_NOT_READ_YET = "The release tree is still being read for the first time."
