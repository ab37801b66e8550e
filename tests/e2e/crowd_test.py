"""Two hundred programs that come and die under one heapd serve."""

import random

from e2e import *

WAVES, TOGETHER = 5, 40


@test
def two_hundred_targets_come_and_die_and_leave_nothing_in_the_daemon(place):
	server = place.serve()
	program = place.compile("leaky.c")
	chance = random.Random(1)
	proc = f"/proc/{server.running.pid}"

	def descriptors():
		return len(os.listdir(proc + "/fd"))

	def resident():
		return int(re.search(r"^VmRSS:\s+(\d+)", open(proc + "/status").read(), re.M)[1])

	def counted(alive):
		return len([t for t in server.targets() if t["alive"] == alive])
	before, memory = descriptors(), []
	for _ in range(WAVES):
		wave = [place.start([program, "20"], env=place.preload(1), stdin=subprocess.PIPE) for _ in range(TOGETHER)]
		wait_until(lambda: counted(True) == TOGETHER, "all of a wave are alive", running=server.running)
		for target in chance.sample(server.targets(), 5):
			check(server.get(f"/targets/{target['id']}/debug/pprof/heap").status in (200, 404), "the status of a profile")
		for one in wave:
			if chance.random() < 0.5:
				one.send(signal.SIGKILL)
			else:
				one.close_stdin()
		for one in wave:
			one.wait()
		wait_until(lambda: counted(True) == 0, "all of a wave are dead", running=server.running)
		memory.append(resident())
	# Of the dead the newest 64 are kept.
	wait_until(lambda: counted(False) <= 64, "the dead are cleared away", running=server.running)
	check_eq(0, server.get("/api/v1/targets").json()["refused"], "the number of files that were refused")
	check_in(f"heapd_targets_removed_total {WAVES * TOGETHER - 64}\n", server.get("/metrics").text, "/metrics")
	wait_until(lambda: descriptors() <= before, "the descriptors are as few as before", running=server.running)
	check(memory[-1] - memory[1] < 16 << 10, "the memory of the daemon does not grow with the dead, in KiB", memory)
	check(len(place.segments()) <= 64, "segments that are left", len(place.segments()))


if __name__ == "__main__":
	main()
