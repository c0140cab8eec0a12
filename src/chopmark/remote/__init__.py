"""A registry that a server keeps: ops and bytes over HTTP, behind the same interfaces as those of this process."""
