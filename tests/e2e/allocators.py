"""The other allocators that Debian packages, by name: how to link them, where to preload them from."""

import glob

from e2e import Skip

LIBRARIES = {"jemalloc": "-ljemalloc", "tcmalloc": "-ltcmalloc", "mimalloc": "-lmimalloc"}


def library(name):
	found = sorted(glob.glob(f"/usr/lib/*/lib{name}.so.*"), key=len)
	if not found:
		raise Skip(f"no lib{name}")
	return found[0]
