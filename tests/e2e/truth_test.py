"""The numbers are right: exactly at period 1, and without a bias of 3 % otherwise. tests/bench/truth is the full version."""

import os

from allocators import LIBRARIES, library
from e2e import *

CHECK = os.path.join(TARGETS, "truth_check")


def compare(place, options, target, preload=LIBHEAPD, env=None, seconds=SECONDS):
	command = [CHECK, "--library", preload, *options, "--", os.path.join(TARGETS, target[0]), *target[1:]]
	r = place.run(command, env=env, seconds=seconds)
	check(r.code == 0, f"{' '.join(target)} with {' '.join(options)}", r.text)


def exact(place, *target, preload=LIBHEAPD):
	compare(place, ["--period", "1"], target, preload)


def estimated(place, period, runs, *target, options=()):
	"""A bound of 1.5 % and a standard error that must be a fifth of it: a bias of 3 % cannot hide."""
	compare(place, ["--period", str(period), "--runs", str(runs), "--bias", "1.5", *options], target)


@test
def every_size_and_mix_of_sizes_is_counted_exactly(place):
	exact(place, "sizes")
	exact(place, "mixed")


@test
def partial_frees_are_counted_exactly(place):
	exact(place, "partial")


@test
def chains_of_realloc_are_counted_exactly(place):
	exact(place, "realloc")


@test
def aligned_zero_and_failed_allocations_and_those_inside_the_libc_are_counted_exactly(place):
	exact(place, "aligned")
	exact(place, "libc")


@test
def every_form_of_new_and_delete_and_the_containers_are_counted_exactly(place):
	exact(place, "cxx")


@test
def frees_on_other_threads_are_counted_exactly(place):
	exact(place, "threads", "8", "5000")


@test
def blocks_that_threads_resize_and_free_for_each_other_at_full_speed_are_counted_exactly(place):
	exact(place, "race")
	# What one thread gives up is what another gets next.
	compare(place, ["--period", "1"], ["race"], env={"GLIBC_TUNABLES": "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0"})


@test
def a_signal_between_any_two_instructions_spoils_no_count(place):
	if os.uname().machine != "x86_64":
		raise Skip("needs the processor's trap flag")
	compare(place, ["--period", "1", "--busy", "handled"], ["stepped"], seconds=5 * SECONDS) # traps are slow in virtual machines


@test
def children_that_share_their_parents_memory_count_as_it(place):
	exact(place, "borrowed")


@test
def every_form_of_new_and_delete_and_of_realloc_is_counted_exactly_on_other_allocators(place):
	for name in LIBRARIES:
		preload = f"{LIBHEAPD}:{library(name)}"
		exact(place, "realloc", "500", preload=preload)
		exact(place, "mixed", "2000", preload=preload)
		if name != "mimalloc": # ends a program whose new fails
			exact(place, "cxx", preload=preload)


@test
def each_process_of_a_fork_tree_counts_for_itself(place):
	exact(place, "forks", "3")


@test
def code_that_was_unloaded_and_replaced_at_its_address_is_told_apart(place):
	exact(place, "plugins")


@test
def nothing_drifts_in_ten_million_operations(place):
	exact(place, "churn", "10000000")


@test
def estimates_of_every_size_are_unbiased_and_their_errors_honest(place):
	estimated(place, 4096, 100, "sizes", "0x200000", "16", "0x10000", options=["--coverage", "91", "99"])


@test
def estimates_of_mixed_sizes_at_one_site_are_unbiased(place):
	estimated(place, 4096, 100, "mixed", "100000")


@test
def estimates_at_a_larger_period_are_unbiased(place):
	estimated(place, 65536, 90, "sizes", "0x2000000", "256", "0x40000")


@test
def estimates_of_fork_children_and_their_parent_are_unbiased(place):
	estimated(place, 4096, 100, "forks", "1", "2", "20000")


@test
def estimates_are_unbiased_while_a_ceiling_moves_the_period(place):
	compare(place, ["--period", "64", "--max-samples", "800", "--runs", "800", "--bias", "3"], ["sizes", "0x40000", "16", "0x1000"])


@test
def births_are_told_in_ticks_whose_rate_is_right(place):
	r = place.run([os.path.join(TARGETS, "births")], env=place.preload(1))
	check_eq((0, "right\n"), (r.code, r.text), "births")


@test
def siblings_of_a_fork_sample_independently(place):
	estimated(place, 4096, 100, "forks", "1", "8", "10000", options=["--together", "--coverage", "88", "100"])


if __name__ == "__main__":
	main()
