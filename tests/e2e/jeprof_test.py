"""heapd as jeprof and google-pprof see it: the older /pprof/ protocol, plain text that the reader symbolizes by asking back."""

import re
import subprocess

from e2e import *

READERS = ("jeprof", "google-pprof")


def leaky(place, period):
	program = place.compile("leaky.c")
	server = place.heapd_run([program, "2000", "4000"], "--period", period, stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	return server, f"/targets/{server.target(name='leaky')['id']}"


def report(place, reader, url, *options):
	"""(total in the reader's unit, {function: flat}) of its text report."""
	need(reader)
	r = place.run([reader, "--text", *options, url], env={"JEPROF_TMPDIR": place.path("j"), "PPROF_TMPDIR": place.path("g")}).good()
	total = float(check_match(r"^Total: ([\d.]+)", r.text, f"{reader}'s report")[1])
	rows = {m[2]: float(m[1]) for m in re.finditer(r"^\s*([\d.]+)\s+[\d.]+%\s+[\d.]+%\s+[\d.]+\s+[\d.]+%\s+(\S.*)$", r.text, re.M)}
	return total, rows


@test
def both_readers_show_names_and_our_totals(place):
	server, prefix = leaky(place, "4k")
	for reader in READERS:
		total, rows = report(place, reader, server.url + prefix + "/pprof/heap")
		p = server.profile(prefix + "/debug/pprof/heap")
		want = p.total() / 2**20
		check_near(want, total, want * 0.01 + 0.1, f"{reader}'s total in MB")
		check_near(p.flat()["keep_blob"] / 2**20, rows.get("keep_blob", 0), want * 0.01 + 0.1, f"{reader}'s keep_blob in MB")


@test
def both_readers_count_what_was_ever_allocated(place):
	server, prefix = leaky(place, "1")
	for reader in READERS:
		total, rows = report(place, reader, server.url + prefix + "/pprof/heap", "--alloc_objects")
		check_eq(2000, rows.get("churn_scratch"), f"{reader}'s objects of churn_scratch")
		check_near(server.profile(prefix + "/debug/pprof/heap").total("alloc_objects"), total, 20, f"{reader}'s total of objects")


@test
def growth_is_served_to_both_readers(place):
	server, prefix = leaky(place, "1")
	for reader in READERS:
		total, rows = report(place, reader, server.url + prefix + "/pprof/growth")
		check("keep_blob" in rows, f"{reader} names keep_blob in the growth", rows)


@test
def raw_counts_are_served_beside_and_scaled_by_the_reader(place):
	server, prefix = leaky(place, "64k")
	text = server.get(prefix + "/raw/pprof/heap").good().text
	check_match(r"^heap profile:\s+\d+:\s+\d+ \[\s*\d+:\s+\d+\] @ heap_v2/65536$", text.splitlines()[0], "the first line")
	for reader in READERS:
		total, _ = report(place, reader, server.url + prefix + "/raw/pprof/heap")
		want = server.profile(prefix + "/debug/pprof/heap").total() / 2**20
		# Sites of one size each: here the reader's rule of thumb is right.
		check_near(want, total, want * 0.03 + 0.1, f"{reader}'s total of raw counts in MB")


@test
def go_tool_pprof_reads_the_older_form_too(place):
	server, prefix = leaky(place, "1")
	r = place.pprof("-top", server.url + prefix + "/pprof/heap").good()
	check_match(r"\d+(\.\d+)?MB\s.*\skeep_blob$", r.text, "pprof's report")


@test
def symbol_and_cmdline_follow_gperftools(place):
	server, prefix = leaky(place, "1")
	check_match(r"^num_symbols: [1-9]", server.get(prefix + "/pprof/symbol").good().text, "the answer to GET")
	p = server.profile(prefix + "/debug/pprof/heap")
	address, = [l.address for l in p.locations if l.lines[0].function.name == "keep_blob"]
	r = server.request("POST", prefix + "/pprof/symbol", body=f"0x{address:016x}",
		headers={"Content-Type": "application/x-www-form-urlencoded"}).good()
	check_match(rf"^0x0*{address:x}\s+keep_blob$", r.text, "the answer to POST")
	check_eq(place.path("leaky"), re.split(r"[\0\n]", server.get(prefix + "/pprof/cmdline").good().text)[0], "the program")
	# A reader may send all addresses of a large program at once.
	many = "+".join(f"0x{a:016x}" for a in range(0x1000, 0x1000 + 200000))
	server.request("POST", prefix + "/pprof/symbol", body=many).good()


if __name__ == "__main__":
	main()
