"""Every system call that the sampler makes may fail: the program does not notice, and what was not sampled is counted."""

import errno
import os
import platform
import re

from e2e import *

ERRORS = (errno.ENOMEM, errno.EPERM, errno.ENOSYS, errno.EINTR, errno.EMFILE)


def skipped(profile):
	return sum(int(m[1]) for m in (re.match(r"(\d+) samples skipped", c) for c in profile.comments) if m)


def failing(place, which, error, command):
	"""Run the command with the sampler, whose calls `which` fail. (How it ended, numbers of the failed calls, calls in all)"""
	report = place.path("report")
	r = place.run([os.path.join(TARGETS, "fail_calls"), report, which, error, "env", f"LD_PRELOAD={LIBHEAPD}", *command],
		env={"HEAPD_PERIOD": "1"})
	with open(report) as f:
		*failed, total = f.read().splitlines()
	return r, [int(n) for n in failed], int(total.split()[1])


def each(place, command, same_output=True):
	"""Let each call fail alone, then all from it on; yields after each run with nothing left of those before. What threads or
	forks print differs from run to run, as does the number of calls."""
	if platform.machine() != "x86_64":
		raise Skip("fail_calls is not written for this machine")
	plain = place.run(command)
	r, _, total = failing(place, "0", 0, command)
	check_eq((plain.code, plain.errors), (r.code, r.errors), "exit code and stderr with the sampler")
	check(total > 40, "calls of the sampler", total)
	for n in range(1, total + 1):
		for i, which in enumerate((f"{n}", f"{n}+")):
			for s in place.segments():
				os.unlink(s)
			error = ERRORS[(n + 2 * i) % len(ERRORS)]
			r, failed, _ = failing(place, which, error, command)
			what = f"with error {error} from call {which}, {failed[:3]},"
			check(failed or n > total - 5 or not same_output, f"something failed {what}")
			check_eq((plain.code, plain.errors), (r.code, r.errors), f"exit code and stderr {what}")
			if same_output:
				check_eq(plain.out, r.out, f"stdout {what}")
			yield which, what


@test
def every_call_of_the_sampler_may_fail_once_or_for_good(place):
	command = [place.compile("limited.c"), "keep", 3000]
	profiles = 0
	for which, what in each(place, command):
		found = place.segments()
		# A file that cannot be removed again may stay; and a look at each profile would take a minute.
		if not found or which.endswith("+") or int(which) % 6 != 1:
			continue
		check_eq(1, len(found), f"segments {what}")
		p = place.fetch(found[0])
		profiles += 1
		# Without memory for anything there is nowhere to count the first.
		check(2999 <= p.total("alloc_objects") + skipped(p) <= 3000, f"sampled and skipped {what}", (p.total("alloc_objects"), skipped(p)))
	check(profiles > 8, "most failures cost little", profiles)


@test
def a_database_works_while_the_samplers_calls_fail(place):
	need("sqlite3")
	sql = "create table t(a, b); insert into t select value, hex(value) from generate_series(1, 300); select sum(a), max(b) from t; select nothing;"
	for _ in each(place, ["sqlite3", ":memory:", sql]):
		pass


@test
def threads_and_forks_work_while_the_samplers_calls_fail(place):
	for _ in each(place, [os.path.join(TARGETS, "threads"), 3, 40], same_output=False):
		pass
	for _ in each(place, [os.path.join(TARGETS, "forks"), 1, 1, 40], same_output=False):
		pass


if __name__ == "__main__":
	main()
