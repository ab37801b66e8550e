"""Programs that see another machine: their own mounts, pids, users, or no /proc; heapd on the outside finds and names them."""

import os
import shutil

from e2e import *

NOBODY = "65534"


def need_unshare(place, *options):
	"""Skip where this machine lets nobody make such namespaces."""
	need("unshare", "mount", "setpriv")
	if os.geteuid() != 0:
		raise Skip("not root")
	r = place.run(["unshare", *options, "true"])
	if r.code:
		raise Skip(f"unshare {' '.join(options)}: {r.errors.strip()}")


def inside(place, shm):
	"""A directory whose content only those inside see: the shell commands to fill it with the program, a C library for a new
	root and a tmpfs for segments at the path `shm`; and its path."""
	root = place.path("inside")
	os.mkdir(root)
	place.compile("leaky.c", "leaky-outside")
	return root, f"""set -e
mount -t tmpfs none {root}
cp {place.path('leaky-outside')} {root}/leaky
mount -t tmpfs -o mode=0700 none {shm}
export LD_PRELOAD={LIBHEAPD} HEAPD_DIR={shm} HEAPD_PERIOD=1
"""


def check_leaky(server, target, blobs, path):
	"""The target's profile is that of leaky, by names from a file that cannot be seen from here."""
	p = server.profile(f"/targets/{target['id']}/debug/pprof/heap")
	check_eq(blobs * 4096, p.cumulative().get("keep_blob"), "bytes of keep_blob")
	check("main" in p.cumulative(), "main is named", p.cumulative())
	check_eq(path, p.mappings[0].file, "the main program")
	check(not os.path.exists(path), "its file cannot be seen from outside")


@test
def a_program_in_another_mount_namespace_is_found_and_named(place):
	need_unshare(place, "--mount")
	root, script = inside(place, place.shm)
	server = place.serve()
	running = place.start(["unshare", "--mount", "sh", "-c", f"{script} exec {root}/leaky 20"], stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in running.text, "the program is ready", running=running)
	check_eq([], place.segments(), "segments that can be seen from outside")
	target = server.target(pid=running.pid, name="leaky", alive=True)
	check_leaky(server, target, 20, f"{root}/leaky")
	# A command that starts later finds it as well, and commands that change it reach it.
	check_match(rf"^{target['id']} +{running.pid} +leaky +running", place.heapd("list", "--dir", place.shm).good().text, "heapd list")
	place.heapd("set", "--dir", place.shm, running.pid, "--period", "64k").good()
	running.close_stdin()
	running.wait()
	# With its last process the namespace goes, and its tmpfs with it.
	wait_until(lambda: not server.targets(), "the target is gone", running=server.running)


@test
def a_namespace_is_followed_when_the_process_that_led_there_ends(place):
	need_unshare(place, "--mount")
	root, script = inside(place, place.shm)
	running = place.start(["unshare", "--mount", "sh", "-c", f"""{script}
unset LD_PRELOAD; mkfifo {root}/end; echo $$; exec 3<&0
(read x <{root}/end; LD_PRELOAD={LIBHEAPD} exec {root}/leaky 7 <&3) &
exec sleep 1000"""], stdin=subprocess.PIPE)
	first = int(wait_until(lambda: running.text, "the first process is there", running=running).split()[0])
	server = place.serve()
	wait_until(lambda: os.path.exists(f"/proc/{first}/root{root}/end"), "the second process is there", running=running)
	with open(f"/proc/{first}/root{root}/end", "w") as f:
		f.write("\n")
	wait_until(lambda: "ready" in running.text, "the program is ready")
	target = server.target(name="leaky", alive=True)
	check(target["pid"] != first, "it is another process", target)
	check_match(rf"^/proc/{first}/root/", target["segment"], "the way to its segment")
	running.process.kill()
	running.process.wait()
	moved = wait_until(lambda: [t for t in server.targets() if f"/proc/{first}/" not in t["segment"]], "it is reached through itself",
		running=server.running)[0]
	check_eq((target["id"], True), (moved["id"], moved["alive"]), "the target")
	check_leaky(server, moved, 7, f"{root}/leaky")


@test
def links_below_a_foreign_root_do_not_lead_out_of_it(place):
	need_unshare(place, "--mount")
	program = place.compile("leaky.c")
	ours, there = f"{place.shm}-ours", f"{place.shm}-there"
	os.mkdir(ours, 0o700)
	try:
		for name, directory in (("theirs", place.tmp), ("ours", ours)):
			place.run([program, "3"], env=place.preload(1, HEAPD_NAME=name)).good()
			segment, = place.segments()
			place.run(["cp", "--sparse=always", segment, directory]).good()
			os.unlink(segment)
		# To those inside, one directory is a link to a path that has another content outside; the other is really there.
		running = place.start(["unshare", "--mount", "sh", "-c", f"""set -e
mount -t tmpfs none {os.path.dirname(place.shm)}
mkdir {ours} {there}; ln -s {ours} {place.shm}
cp --sparse=always {place.tmp}/*.heapd {there}
echo ready; exec sleep 1000"""])
		wait_until(lambda: "ready" in running.text, "the namespace is there", running=running)
		check_eq(["theirs"], [t["name"] for t in place.serve("--dir", there).targets()], "the targets")
	finally:
		shutil.rmtree(ours)


@test
def a_file_server_that_does_not_answer_holds_nobody_up(place):
	need_unshare(place, "--mount")
	if not os.path.exists("/dev/fuse"):
		raise Skip("no /dev/fuse")
	script = place.write("dead.py", """
import ctypes, os, signal, sys
fd = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
failed = libc.mount(b"none", sys.argv[1].encode(), b"fuse", 0, f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode())
print(os.strerror(ctypes.get_errno()) if failed else "ready", flush=True)
signal.pause()
""")
	below = os.path.join(place.shm, "below")
	os.mkdir(below)
	running = place.start(["unshare", "--mount", "/usr/bin/python3", script, place.shm])
	said = wait_until(lambda: running.text, "it is mounted", running=running).strip()
	if said != "ready":
		raise Skip(f"cannot mount a file server: {said}")
	for directory in (place.shm, below):
		r = place.heapd("list", "--dir", directory)
		check_in("no program is being sampled", r.errors, "what heapd list says")


@test
def a_program_in_another_pid_namespace_goes_by_the_pid_it_has_here(place):
	need_unshare(place, "--mount", "--pid", "--fork")
	root, script = inside(place, place.shm)
	for proc in ("", "--mount-proc"):
		running = place.start(["unshare", "--mount", "--pid", "--fork", "--kill-child", *proc.split(), "sh", "-c", f"{script} exec {root}/leaky 30"],
			stdin=subprocess.PIPE)
		wait_until(lambda: "ready" in running.text, "the program is ready", running=running)
		inner, = children_of(running.pid)
		server = place.serve()
		target = server.target(name="leaky", alive=True)
		check_eq(inner, target["pid"], "its pid, which is 1 to itself")
		check_match(rf"^{inner}-", target["id"], "its id")
		check_leaky(server, target, 30, f"{root}/leaky")
		running.close_stdin()
		running.wait()
		server.running.stop()


@test
def a_shared_directory_tells_programs_with_equal_inner_pids_apart(place):
	need_unshare(place, "--pid", "--fork")
	program = place.compile("leaky.c")
	server = place.serve()
	started = [place.start(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", program, n], env=place.preload(1), stdin=subprocess.PIPE) for n in (5, 6)]
	for r in started:
		wait_until(lambda: "ready" in r.text, "the program is ready", running=r)
	pids = [children_of(r.pid)[0] for r in started]
	for pid, n in zip(pids, (5, 6)):
		target = server.target(pid=pid, name="leaky", alive=True)
		check_eq(n * 4096, server.profile(f"/targets/{target['id']}/debug/pprof/heap").cumulative().get("keep_blob"), "bytes of keep_blob")
	started[0].stop(signal.SIGKILL)
	target = server.target(pid=pids[0], alive=False)
	check_eq(5 * 4096, server.profile(f"/targets/{target['id']}/debug/pprof/heap").cumulative().get("keep_blob"), "bytes of keep_blob after its end")
	check(server.target(pid=pids[1])["alive"], "the other one lives on")


@test
def a_program_in_another_time_namespace_is_alive(place):
	need_unshare(place, "--time", "--boottime", "100000", "--fork")
	running = place.start(["unshare", "--time", "--boottime", "100000", "--fork", "--kill-child", place.compile("leaky.c"), "8"], env=place.preload(1),
		stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in running.text, "the program is ready", running=running)
	inner, = children_of(running.pid)
	server = place.serve()
	target = server.target(pid=inner, name="leaky", alive=True)
	p = server.profile(f"/targets/{target['id']}/debug/pprof/heap")
	check_eq((8 * 4096, True), (p.cumulative().get("keep_blob"), "main" in p.cumulative()), "bytes of keep_blob, and whether main is named")
	running.stop(signal.SIGKILL)
	server.target(pid=inner, alive=False)


def children_of(pid):
	with open(f"/proc/{pid}/task/{pid}/children") as f:
		return [int(p) for p in f.read().split()]


@test
def a_program_that_is_root_in_a_users_namespace_is_found(place):
	alone = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
	need("setpriv")
	if os.geteuid() != 0:
		raise Skip("not root")
	r = place.run([*alone, "true"])
	if r.code:
		raise Skip(f"a user cannot make a namespace: {r.errors.strip()}")
	root, script = inside(place, place.shm)
	for path in (place.shm, os.path.dirname(place.shm)):
		if path != "/dev/shm":
			os.chmod(path, 0o755)
	running = place.start([*alone, "sh", "-c", f"{script} id -u; exec {root}/leaky 40"], stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in running.text, "the program is ready", running=running)
	check_match(r"^0$", running.text, "who it believes to be")
	server = place.serve()
	target = server.target(name="leaky", alive=True)
	check_eq(int(NOBODY), target["uid"], "who it is")
	check_leaky(server, target, 40, f"{root}/leaky")


@test
def a_program_in_a_root_without_proc_is_found_and_named(place):
	need_unshare(place, "--mount")
	need("chroot", "ldd")
	root, script = inside(place, place.shm)
	files = re.findall(r"(/\S+) \(0x", place.run(["ldd", place.path("leaky-outside")]).good().text)
	copies = "".join(f"mkdir -p {root}{os.path.dirname(f)}; cp {f} {root}{f}\n" for f in [*files, LIBHEAPD, "/bin/sh"])
	running = place.start(["unshare", "--mount", "sh", "-c", f"""{script}
unset LD_PRELOAD
{copies} mkdir -p {root}{place.shm}; mount --bind {place.shm} {root}{place.shm}
exec chroot {root} /bin/sh -c 'LD_PRELOAD={LIBHEAPD} exec /leaky 50'"""], stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in running.text, "the program is ready", running=running)
	check_eq("", running.errors, "what its loader said")
	server = place.serve()
	target = server.target(name="leaky", pid=running.pid, alive=True)
	# It could not ask for its own path, so its place and its build-id have to do.
	p = server.profile(f"/targets/{target['id']}/debug/pprof/heap")
	check_eq(50 * 4096, p.cumulative().get("keep_blob"), "bytes of keep_blob")
	check("main" in p.cumulative(), "main is named", p.cumulative())
	running.stop(signal.SIGKILL)
	wait_until(lambda: not server.targets(), "the target is gone with its root", running=server.running)


if __name__ == "__main__":
	main()
