"""heapd attach: into programs that run, and what they notice of it."""

import os
import random
import signal
import subprocess
import time

from e2e import *

if os.uname().machine != "x86_64":
	print("ok attach # skip x86-64 alone so far")
	raise SystemExit

CALLS = ("epoll_wait", "poll", "select", "nanosleep", "sigtimedwait", "pause", "accept", "sem_timedwait", "futex", "read")


def attach(place, pid, *arguments):
	return place.heapd("attach", *arguments, str(pid), env={"HEAPD_DIR": place.shm}, seconds=120)


def refused(place, pid, pattern, *arguments):
	for more in (("--check",), ()):
		r = attach(place, pid, *more, *arguments)
		check_eq(3, r.code, f"the exit code of attach {' '.join(more)} ({clip(r.errors)})")
		check_match(pattern, r.errors, "the refusal")


def service(place, threads, *flags):
	program, plugin = place.path("attached" + "".join(flags)), place.path("attached_plugin.so")
	if not os.path.exists(program):
		place.compile("attached_plugin.c", "attached_plugin.so", flags=("-g", "-O1", "-fno-builtin", "-fPIC", "-shared"))
		place.compile("attached.c", os.path.basename(program), flags=("-g", "-O1", "-fno-builtin", *flags), libs=("-lpthread",))
	running = place.start([program, str(threads), plugin], stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in running.text, "the service is ready", running=running)
	return running


def asleep(place, call="pause"):
	running = place.start([place.compile("waits.c", libs=("-lpthread", "-lm")), call])
	wait_until(lambda: "ready" in running.text, "it is ready", running=running)
	return running


@test
def after_attach_everything_is_counted_exactly(place):
	for threads, *flags in ((0,), (1,), (4,), (1, "-no-pie", "-fno-pie"), (1, "-no-pie", "-fno-pie", "-Wl,-z,now"), (1, "-fno-plt")):
		running = service(place, threads, *flags)
		attach(place, running.pid, "--period", "1").good()
		running.process.stdin.write(b"go\n")
		running.process.stdin.flush()
		wait_until(lambda: "done" in running.text, "it has worked", running=running)
		os.kill(running.pid, signal.SIGSTOP)
		wait_until(lambda: all(open(f"/proc/{running.pid}/task/{t}/stat").read().rsplit(") ")[1][0] == "T" for t in os.listdir(f"/proc/{running.pid}/task")),
			"its threads have stopped", running=running)
		segment, = place.segments()
		p = place.fetch(segment)
		objects, space = p.cumulative("inuse_objects"), p.cumulative("inuse_space")
		want = {"keep_malloc": (1000, 1000000), "keep_by_table": (1000, 500000), "keep_copies": (1000, 17000), "grow_old_ones": (500, 1500000),
			"keep_in_plugin": (100, 70000)}
		check_eq(want, {n: (objects.get(n), space.get(n)) for n in want}, f"what is in use with {threads} threads {flags}")
		check(objects.get("churn", 0) <= 64 * threads, "what the threads have in use", objects)
		check(not any("free" in c for c in p.comments), "no free is taken for an error", p.comments)
		os.kill(running.pid, signal.SIGCONT)
		running.process.stdin.close()
		check_eq(0, running.wait().code, "the service's exit code")
		os.unlink(segment)


@test
def a_busy_process_is_attached_to_and_lives(place):
	for threads in (1, 4):
		for _ in range(8):
			running = service(place, threads)
			attach(place, running.pid).good()
			running.process.stdin.write(b"go\n")
			running.process.stdin.close()
			check_eq((0, "ready\ndone\n"), (running.wait().code, running.text), "what the service did afterwards")


@test
def an_attempt_that_failed_is_no_hindrance_to_the_next(place):
	running = service(place, 1)
	r = place.heapd("attach", str(running.pid), env={"HEAPD_DIR": "/nonexistent"})
	check_eq(5, r.code, f"the exit code ({clip(r.errors)})")
	check_match("finds no room for its segment", r.errors, "the reason")
	attach(place, running.pid, "--period", "1").good()
	running.process.stdin.write(b"go\n")
	running.process.stdin.close()
	check_eq((0, "ready\ndone\n"), (running.wait().code, running.text), "what the service did afterwards")
	segment, = place.segments()
	check_eq(1000, place.fetch(segment).cumulative("inuse_objects").get("keep_malloc"), "what is in use")


@test
def whoever_waits_in_a_system_call_does_not_notice(place):
	program = place.compile("waits.c", libs=("-lpthread", "-lm"))
	plain = {call: place.start([program, call]) for call in CALLS}
	under = {call: place.start([program, call]) for call in CALLS}
	attached = {}
	for call, running in under.items():
		wait_until(lambda: "ready" in running.text, "it is ready", running=running)
		attached[call] = place.start([HEAPD, "attach", str(running.pid)])
	for call, running in attached.items():
		r = running.wait()
		# On a busy machine one may be through before its turn comes: then there is nothing to see.
		check(r.code in (0, 3), f"attach to one in {call}", r.errors)
	for call in CALLS:
		check_eq(plain[call].wait().text, under[call].wait().text, f"what {call} returned")
	check(len(place.segments()) >= 3, "most were attached to", place.segments())


@test
def where_there_is_no_memory_for_the_way_in_nothing_is_noticed(place):
	need("prlimit")
	for call in ("select", "epoll_wait", "nanosleep"):
		running = asleep(place, call)
		place.run(["prlimit", "--pid", str(running.pid), "--as=4096"]).good()
		r = attach(place, running.pid)
		check_eq(5, r.code, f"the exit code ({clip(r.errors)})")
		check_match("gets no memory for the way in: Cannot allocate memory", r.errors, "the reason")
		check_match(r"^ready\n0, errno 4242, rounding upward$", running.wait().text, f"what {call} returned")


@test
def the_death_of_heapd_inject_is_survived(place):
	if int(open("/proc/sys/kernel/perf_event_paranoid").read()) > 1 and os.getuid() != 0:
		raise Skip("the kernel's breakpoints are not for this user")
	running = service(place, 2)
	for _ in range(40):
		r = place.start([HEAPD, "attach", str(running.pid), "--timeout", "1s"], env={"HEAPD_DIR": place.shm})
		time.sleep(random.random() * 0.06)
		r.process.kill()
		r.process.wait()
		check(running.alive(), "the service lives", running.process.poll())
	running.process.stdin.write(b"go\n")
	running.process.stdin.close()
	check_eq((0, "ready\ndone\n"), (running.wait().code, running.text), "what the service did afterwards")


@test
def what_cannot_be_attached_to_is_told_apart(place):
	need("gcc")
	for name, flags in (("statically linked:", ("-static",)), (r"statically linked \(static-pie\)", ("-static-pie",)), ("AddressSanitizer", ("-fsanitize=address",))):
		program = place.compile("waits.c", f"waits{flags[0]}", flags=("-O1", *flags), libs=("-lpthread", "-lm"))
		running = place.start([program, "pause"])
		wait_until(lambda: "ready" in running.text, "it is ready", running=running)
		refused(place, running.pid, name)
	refused(place, 4194304, "there is no process 4194304")
	if os.path.exists("/proc/2/comm") and open("/proc/2/comm").read() == "kthreadd\n":
		refused(place, 2, "thread of the kernel")

	running = asleep(place)
	os.kill(running.pid, signal.SIGSTOP)
	refused(place, running.pid, rf"is stopped: .*kill -CONT {running.pid}")

	running = place.start([place.compile("waits.c", libs=("-lpthread", "-lm")), "pause"], env=place.preload(1))
	wait_until(lambda: "ready" in running.text, "it is ready", running=running)
	refused(place, running.pid, "is sampled already")

	zombie = place.start(["/usr/bin/python3", "-c", "import os, time; pid = os.fork(); pid or os._exit(0); print(pid, flush=True); time.sleep(60)"])
	wait_until(lambda: zombie.text.endswith("\n"), "it has told the pid", running=zombie)
	pid = int(zombie.text)
	wait_until(lambda: open(f"/proc/{pid}/stat").read().split(") ")[1][0] == "Z", "it is a zombie", running=zombie)
	refused(place, pid, "zombie")

	running = service(place, 1)
	thread = max(int(t) for t in os.listdir(f"/proc/{running.pid}/task"))
	refused(place, thread, f"is a thread of process {running.pid}")
	attach(place, running.pid).good()
	refused(place, running.pid, "is sampled already")


@test
def a_traced_process_is_told_with_its_tracer(place):
	need("python3")
	tracer = place.start(["/usr/bin/python3", "-c", """
import ctypes, os, sys, time
pid = int(sys.argv[1])
print(ctypes.CDLL(None).ptrace(0x4206, pid, None, None), flush=True)
time.sleep(60)""", str(asleep(place).pid)])
	wait_until(lambda: tracer.text, "it traces", running=tracer)
	check_eq("0\n", tracer.text, "what ptrace said")
	refused(place, int(tracer.command[-1]), rf"is traced by process {tracer.pid} \(python3")


@test
def another_users_process_is_refused_to_an_ordinary_one(place):
	if os.getuid() != 0:
		raise Skip("only root can become others")
	running = asleep(place)
	r = place.run([HEAPD, "attach", "--check", str(running.pid)], preexec=lambda: (os.setgid(65534), os.setuid(65534)))
	check_eq(3, r.code, f"the exit code ({clip(r.errors)})")
	check_match("belongs to user root: run heapd as that user or as root", r.errors, "the refusal")


@test
def a_process_that_locked_itself_in_is_left_alone(place):
	program = place.compile("locked_in.c")
	running = place.start([program])
	wait_until(lambda: "ready" in running.text, "it is ready", running=running)
	refused(place, running.pid, "locked itself in")


@test
def a_wrong_command_line_is_told(place):
	for arguments in (("attach",), ("attach", "1", "2"), ("attach", "--period", "x", "1"), ("attach", "redis"), ("attach", "0")):
		r = place.heapd(*arguments)
		check_eq(2, r.code, f"the exit code of {arguments} ({clip(r.errors)})")


@test
def attached_redis_serves_on_and_is_seen_by_name(place):
	need("redis-server", "redis-benchmark", "redis-cli")
	port = free_port()
	redis = place.start(["redis-server", "--port", str(port), "--save", "", "--dir", place.tmp])
	wait_until(lambda: listens(port), "redis listens", running=redis)
	load = place.start(["redis-benchmark", "-p", str(port), "-q", "-t", "set", "-n", "400000", "-r", "100000"])
	attach(place, redis.pid, "--period", "4k").good()
	r = load.wait(120)
	check_eq(0, r.code, f"the benchmark's exit code ({clip(r.errors)})")
	check("rror" not in r.text + r.errors, "no connection was lost", r.text + r.errors)
	segment, = place.segments()
	names = place.fetch(segment).cumulative("alloc_space")
	check(any(n in names for n in ("createEmbeddedStringObject", "_sdsnewlen", "zmalloc")), "redis's own functions are named", list(names)[:20])
	size = int(place.run(["redis-cli", "-p", str(port), "dbsize"]).text)
	check(size > 50000, "the keys are there", size)


if __name__ == "__main__":
	main()
