"""Programs people run, each with and without heapd: output and exit code are equal, and the profile names their code."""

import glob
import os
import re

from e2e import *


def same(place, command, period="4k", env=None, input=None, code=0, stderr=True, seconds=SECONDS, before=None):
	"""Run a command plainly and under heapd, and compare. Returns its profiles, those of its children included, by the
	name of the program, from a third run that keeps the segments."""
	def once(prefix, extra=None):
		if before:
			before()
		return place.run([*prefix, *command], env={**(env or {}), **(extra or {})}, input=input, seconds=seconds)

	plain = once([])
	check_eq(code, plain.code, f"the exit code of {command[0]} without heapd ({clip(plain.errors)})")
	under = once([HEAPD, "run", "--quiet", "--period", str(period), "--listen", f"127.0.0.1:{free_port()}", "--"])
	check_eq(plain.code, under.code, f"the exit code of {command[0]} ({clip(under.errors)})")
	check_eq(plain.out, under.out, f"stdout of {command[0]}")
	if stderr:
		check_eq(plain.errors, under.errors, f"stderr of {command[0]}")
	for name in os.listdir(place.shm):
		shutil.rmtree(os.path.join(place.shm, name))
	third = once([], place.preload(parse(period)))
	check_eq((plain.code, plain.out), (third.code, third.out), f"exit code and stdout of {command[0]} with only the sampler")
	found = {}
	for segment in place.segments():
		p = place.fetch(segment)
		if p.mappings:
			found.setdefault(os.path.basename(p.mappings[0].file), []).append(p)
		os.unlink(segment)
	return found


def parse(period):
	text = str(period)
	return int(text[:-1]) * 1024 if text.endswith("k") else int(text)


def check_named(profiles, program, pattern, share=0.3, value="alloc_space"):
	"""Functions that match the pattern stand on the stacks of at least this share of what the program allocated."""
	of = [p for name, ps in profiles.items() if re.fullmatch(program, name) for p in ps]
	check(of, f"there is a profile of {program}", {k: len(v) for k, v in profiles.items()})
	total = hit = 0
	for p in of:
		i = p.index(value)
		for s in p.samples:
			total += s.values[i]
			if any(re.search(pattern, n) for n in p.names(s)):
				hit += s.values[i]
	top = sorted(of, key=lambda p: -p.total(value))[0]
	check(total > 0 and hit >= share * total, f"{pattern} stands on {share:.0%} of what {program} allocated; {hit} of {total}",
		sorted(top.cumulative(value).items(), key=lambda x: -x[1])[:12])


@test
def sqlite3(place):
	need("sqlite3")
	sql = """create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) insert into t select i, printf('row %d %s', i, hex(i * 77)) from n;
create index tb on t(b); select count(*), sum(length(b)), max(b) from t; select b from t order by b desc limit 3;
"""
	for period in ("4k", 1):
		check_named(same(place, ["sqlite3", ":memory:"], period, input=sql), "sqlite3", r"^sqlite3_(step|prepare|exec)", 0.5)


@test
def sqlite3_tells_its_errors(place):
	need("sqlite3")
	same(place, ["sqlite3", "-bail", ":memory:", "select * from nowhere;"], 1, code=1)


@test
def python3(place):
	script = place.write("work.py", """
import json, re, sys, threading, subprocess
rows = [{"id": i, "name": "name %d" % i, "tags": [str(j) for j in range(i % 7)]} for i in range(4000)]
text = json.dumps(rows)
assert json.loads(text) == rows
words = re.findall(r"name (\\d+)", text)
out = []
threads = [threading.Thread(target=lambda k=k: out.append((k, len([bytes(1000 + k) for _ in range(2000)])))) for k in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(text), len(words), sorted(out))
print(subprocess.run([sys.executable, "-c", "print(sum(len(str(i)) for i in range(1000)))"], capture_output=True, text=True).stdout)
print("to stderr", file=sys.stderr)
sys.exit(4)
""")
	profiles = same(place, ["/usr/bin/python3", script], env={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}, code=4)
	check_named(profiles, r"python3\.\d+", r"^(_PyEval_EvalFrameDefault|PyEval_EvalCode|Py_BytesMain)$", 0.5)
	check_named(profiles, r"python3\.\d+", r"^(_?PyObject_|PyList_|PyUnicode_|PyBytes_|_?PyDict_)", 0.2)
	same(place, ["/usr/bin/python3", script], 1, env={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}, code=4)


@test
def perl(place):
	script = place.write("work.pl", r"""
my %h; $h{$_ % 997} .= "value $_ " for 1 .. 20000;
my @k = sort { length($h{$a}) <=> length($h{$b}) || $a <=> $b } keys %h;
my $pid = fork() // die; if (!$pid) { my @x = map { "child $_" } 1 .. 5000; exit 3 }
waitpid $pid, 0; printf "%d keys, longest %s, child %d\n", scalar @k, $k[-1], $? >> 8; warn "a warning\n"; exit 6;
""")
	check_named(same(place, ["/usr/bin/perl", script], code=6), "perl", r"^(perl_run|Perl_runops_standard|perl_parse)$", 0.5)
	same(place, ["/usr/bin/perl", script], 1, code=6)


@test
def node(place):
	need("node")
	script = place.write("work.js", """
const zlib = require('zlib'), crypto = require('crypto');
const rows = Array.from({length: 20000}, (_, i) => ({id: i, text: 'row ' + i}));
const packed = zlib.gzipSync(JSON.stringify(rows));
const bufs = Array.from({length: 200}, (_, i) => Buffer.alloc(20000, i));
console.log(JSON.parse(zlib.gunzipSync(packed)).length, crypto.createHash('sha256').update(Buffer.concat(bufs)).digest('hex'));
setTimeout(() => { console.error('late'); process.exit(7); }, 20);
""")
	check_named(same(place, ["node", script], "64k", code=7), r"node(js)?", r"^(node::|v8::)", 0.5)


@test
def compiled_javascript_has_names_after_its_end(place):
	need("node")
	script = place.write("jit.js", """
function fill(i) { return Buffer.alloc(70000 + i % 7, 1); }
let n = 0; for (let i = 0; i < 4000; i++) n += fill(i).length;
console.log(n, process.pid);
""")
	r = place.run(["node", "--perf-basic-prof", script], env=place.preload(4096)).good()
	try:
		check_named({"node": [place.fetch(s) for s in place.segments()]}, "node", r"^(JS|LazyCompile|Function):[*^~]fill ", 0.5)
	finally:
		os.unlink(f"/tmp/perf-{r.text.split()[1]}.map")


@test
def java(place):
	need("java")
	# A JRE has no compiler: let a tool that is written in Java do real work.
	store = place.path("keys")
	profiles = same(place, ["java", "-Xmx64m", "--list-modules"], "64k", seconds=120)
	check(any("libjvm.so" in (l.mapping.file if l.mapping else "") for p in profiles["java"] for s in p.samples for l in s.stack), "libjvm.so is on the stacks")
	check_named(profiles, "java", r"^(JNI_CreateJavaVM|JVM_|thread_native_entry|java_start|libjvm\.so\+0x|JavaMain|JLI_)", 0.3)
	def fresh():
		if os.path.exists(store):
			os.unlink(store)
	same(place, ["keytool", "-J-Xmx64m", "-genkeypair", "-keyalg", "EC", "-dname", "CN=test", "-keystore", store, "-storepass", "secret1", "-alias", "a"],
		"64k", stderr=False, seconds=120, before=fresh)


@test
def git(place):
	need("git")
	repository = place.path("repository")
	os.mkdir(repository)
	when = {f"GIT_{w}_{f}": v for w in ("AUTHOR", "COMMITTER") for f, v in (("NAME", "A"), ("EMAIL", "a@example.org"), ("DATE", "2024-01-01T00:00:00Z"))}
	when.update(GIT_CONFIG_NOSYSTEM="1")
	run = lambda *a: place.run(["git", *a], cwd=repository, env=when).good()
	run("init", "-q", "-b", "main")
	for i in range(5):
		for j in range(20):
			place.write(f"repository/dir{j % 3}/file{j}", "".join(f"line {k} of {j} in {k * i % 7}\n" for k in range(300)))
		run("add", ".")
		run("commit", "-q", "-m", f"change {i}")
	base = ["git", "-C", repository]
	check_named(same(place, [*base, "log", "-p", "--stat"], env=when), "git", r"^(git\+0x|__libc_start|x?(malloc|realloc|calloc)|main|cmd_)", 0.5)
	same(place, [*base, "log", "-p"], 1, env=when)
	same(place, [*base, "fsck", "--no-progress"], env=when)
	same(place, [*base, "-c", "gc.pruneExpire=now", "gc", "-q", "--prune=now"], env=when)         # threads and children
	same(place, [*base, "no-such-command"], 1, env=when, code=1)


@test
def gcc_and_gpp(place):
	c = place.write("a.c", "#include <stdio.h>\n" + "".join(f"int f{i}(int x) {{ for (int i = 0; i < x; i++) x ^= i * {i}; return x + {i}; }}\n" for i in range(200))
		+ "int main(void) { return f1(2) + f199(3); }\n")
	cc = place.write("b.cc", "#include <map>\n#include <string>\n#include <iostream>\n"
		"int main() { std::map<std::string, int> m; for (auto s : {\"a\", \"b\"}) m[s]++; std::cout << m.size(); }\n")
	for compiler, source, child in (("gcc", c, "cc1"), ("g++", cc, "cc1plus")):
		profiles = same(place, [compiler, "-O2", "-S", "-o", "-", source], "64k")
		check_named(profiles, child, r"^(toplev::main|do_compile|x(malloc|calloc|realloc)|ggc_|compile_file|c_common_)", 0.5)
	same(place, ["gcc", "-c", "-o", place.path("x.o"), place.write("broken.c", "int main(void) { return nothing; }\n")], 1, code=1)


@test
def rust(place):
	if not os.access("/usr/bin/rustc", os.X_OK):
		raise Skip("no Debian rustc")
	program = place.path("keepers")
	place.run(["/usr/bin/rustc", "-g", "-O", "-o", program, os.path.join(PROGRAMS, "keepers.rs")], seconds=180).good()
	profiles = same(place, [program], 1, code=3)
	check_named(profiles, "keepers", r"^keepers::keep_map$", 0.4)
	check_named(profiles, "keepers", r"^keepers::keep_strings$", 0.2)
	names = {n for p in profiles["keepers"] for s in p.samples for n in p.names(s)}
	check(not [n for n in names if re.match(r"_(ZN|R)\w+", n) or re.search(r"::h[0-9a-f]{16}$", n)], "Rust's names are demangled",
		[n for n in names if re.match(r"_(ZN|R)\w+|.*::h[0-9a-f]{16}$", n)])
	check(any(n.startswith(("alloc::", "<alloc::", "hashbrown::", "<hashbrown::")) for n in names), "inlined library functions are there", sorted(names))


@test
def shells_and_pipelines(place):
	script = 'for i in 1 2 3; do seq 1 2000 | sort -rn | head -n 3 | tr "\\n" " "; done; x=$(printf "%s" {1..500}); echo ${#x}; (exit 3) || echo sub $?; exit 5'
	for period in ("64k", 1):
		same(place, ["bash", "-c", script], period, code=5)


@test
def small_tools_at_period_1(place):
	data = place.write("data", "".join(f"{i * 7919 % 10007} line {i}\n" for i in range(20000)))
	for command in (["true"], ["curl", "-s", f"file://{data}"], ["sort", "-n", data], ["awk", "{s[$1 % 100] += NR} END {for (i = 0; i < 100; i++) print i, s[i]}", data], ["grep", "-c", "99", data],
			["ls", "-la", "/usr/bin"], ["find", "/usr/share/doc", "-maxdepth", "1"], ["xz", "-kc", data], ["tar", "-cf", "-", "-C", place.tmp, "data"],
			["objdump", "-d", "/usr/bin/true"], ["date", "-d", "@0", "-u"], ["env", "-i", "echo", "x"]):
		if shutil.which(command[0]):
			same(place, command, 1)


if __name__ == "__main__":
	main()
