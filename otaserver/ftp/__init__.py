"""The FTP site: the same tree and the same manifests, over RFC 959 and its extensions."""
