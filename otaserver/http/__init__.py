"""The site: manifests, the files of the tree, and listings of its folders."""
