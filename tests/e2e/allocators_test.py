"""The sampler on top of other allocators, in front of them, behind them, and beside sanitizers."""

import os
import re
import shutil

from allocators import LIBRARIES, library
from e2e import *

KEPT = {"keep_malloc": (1000, 1000 * 1000), "keep_aligned": (1000, 1000 * 512), "keep_realloc": (1000, 1000 * 3000)}


def same_and_profiled(place, program, env=None):
	"""Run it without and with the sampler, exactly; both must look the same. Returns the profile."""
	plain = place.run([program], env=env).good()
	out = place.path("p.pb.gz")
	under = place.heapd("run", "--quiet", "--period", "1", "--output", out, "--", program, env=env)
	check_eq((plain.code, plain.text, plain.errors), (under.code, under.text, under.errors), f"exit code, stdout and stderr of {os.path.basename(program)}")
	with open(out, "rb") as f:
		return pprofile.decode(f.read())


def check_sites(p, want, what):
	objects, space = p.cumulative("inuse_objects"), p.cumulative("inuse_space")
	check_eq(want, {n: (objects.get(n), space.get(n)) for n in want}, f"what is in use {what}")
	# Counted twice under one address, a block is in use once.
	ever = p.cumulative("alloc_objects")
	check_eq({n: {"keep_realloc": 2000, "keep_rallocx": 3000}.get(n, 1000) for n in want}, {n: ever.get(n) for n in want}, f"what was allocated {what}")


def check_given_back(p, objects, space, what):
	check_eq((objects, space, 0, 0), tuple(p.cumulative(t).get("give_back", 0) for t in ("alloc_objects", "alloc_space", "inuse_objects", "inuse_space")),
		f"what was given back {what}")


@test
def every_linked_allocator_gives_exact_counts(place):
	for name, flags in {"glibc": "-lc", **LIBRARIES}.items():
		p = same_and_profiled(place, place.compile("linked.c", f"linked-{name}", libs=(f"-Wl,--no-as-needed", flags)))
		check_sites(p, KEPT, f"with {name}")
		check_given_back(p, 1000, 770 * 1000, f"with {name}")


@test
def operator_new_counts_once_on_every_allocator(place):
	for name, flags in {"glibc": "-lc", **LIBRARIES}.items():
		p = same_and_profiled(place, place.compile("cxx.cc", f"cxx-{name}", compiler="g++", flags=("-g", "-O2", "-std=c++17"), libs=("-Wl,--no-as-needed", flags)))
		check_sites(p, {"keep_new": (1000, 500000), "keep_nothrow": (1000, 600000), "keep_wide": (1000, 256000)}, f"with {name}")
		check_given_back(p, 2000, (900 + 256) * 1000, f"with {name}")


@test
def a_plugin_loaded_later_is_seen_and_found_where_its_loader_looks(place):
	cxx = dict(compiler="g++", flags=("-g", "-O2", "-fPIC"))
	os.mkdir(place.path("plugins"))
	place.compile("late.cc", "plugins/liblate.so", compiler="g++", flags=("-g", "-O2", "-fPIC", "-shared"))
	loader = place.compile("late_loader.c", "liblate_loader.so", flags=("-g", "-O2", "-fPIC", "-shared", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/plugins"))
	for name, flags in {"glibc": "-lc", **LIBRARIES}.items():
		program = place.compile("late_host.cc", f"late-{name}", libs=(loader, f"-Wl,-rpath,{place.tmp}", "-Wl,--no-as-needed", flags), **cxx)
		p = same_and_profiled(place, program)
		objects, space, ever = p.cumulative("inuse_objects"), p.cumulative("inuse_space"), p.cumulative("alloc_objects")
		check_eq((1000, 2000000, 0, 1000), (objects.get("plugin_keep"), space.get("plugin_keep"), objects.get("host_make", 0), ever.get("host_make")),
			f"plugin's blocks, and its host's, with {name}")


@test
def plugins_that_come_and_go_in_many_threads_are_patched_without_harm(place):
	first = place.compile("late.cc", "late0.so", compiler="g++", flags=("-g", "-O2", "-fPIC", "-shared", "-Wl,-z,now,-z,relro"))
	plugins = [first]
	for i in range(1, 12):
		plugins.append(place.path(f"late{i}.so"))
		shutil.copy(first, plugins[-1])
	for name, flags in LIBRARIES.items():
		program = place.compile("late_storm.c", f"storm-{name}", libs=("-Wl,--no-as-needed", flags, "-lpthread"))
		r = place.run([program] + plugins, env=place.preload(4096)).good()
		check_eq(("done\n", ""), (r.text, r.errors), f"what it printed with {name}")


@test
def a_plugin_that_prefers_its_own_operators_keeps_them(place):
	host = place.compile("deep_host.c")
	flags = dict(compiler="g++", flags=("-g", "-O2", "-fPIC", "-shared"))
	plugins = [place.compile(f"{name}.cc", f"{name}.so", **flags) for name in ("deep_plain", "deep_own")]
	for name in LIBRARIES:
		for plugin in plugins:
			for bits in (os.RTLD_LAZY, os.RTLD_NOW, os.RTLD_LAZY | os.RTLD_DEEPBIND, os.RTLD_NOW | os.RTLD_DEEPBIND):
				for period in ("512k", "1"):
					env = {"LD_PRELOAD": library(name)}
					plain = place.run([host, plugin, str(bits)], env=env).good()
					under = place.heapd("run", "--quiet", "--no-serve", "--period", period, "--", host, plugin, str(bits), env=env)
					check_eq((plain.code, plain.text, plain.errors), (under.code, under.text, under.errors),
						f"{os.path.basename(plugin)} loaded with {bits} on {name} at period {period}")


@test
def functions_called_through_a_table_are_seen(place):
	p = same_and_profiled(place, place.compile("table_mimalloc.c", libs=("-lmimalloc",)))
	check_eq((200, 100, 2000000), tuple(p.cumulative(t)["keep_by_table"] for t in ("alloc_objects", "inuse_objects", "inuse_space")), "what the table's functions gave")
	check_given_back(p, 100, 500000, "by way of the table")


@test
def what_another_tool_has_hooked_stays_hooked(place):
	program = place.compile("direct_jemalloc.c", libs=("-ljemalloc",))
	other = place.compile("other_hook.c", "other_hook.so", flags=("-O1", "-D_GNU_SOURCE", "-fPIC", "-shared", "-I", os.path.join(ROOT, "sampler")))
	# The constructor of the one that comes later runs first.
	r = place.run([program], env={"LD_PRELOAD": f"{LIBHEAPD}:{other}", "HEAPD_PERIOD": "1"}).good()
	check_eq("taken: yes", r.text.splitlines()[-1], "what the other tool saw")


@test
def jemallocs_own_entry_points_are_seen(place):
	p = same_and_profiled(place, place.compile("direct_jemalloc.c", libs=("-ljemalloc",)))
	check_sites(p, {"keep_mallocx": (1000, 1000000), "keep_aligned": (1000, 512000), "keep_rallocx": (1000, 3000000)}, "by mallocx")
	check_given_back(p, 2000, 1500 * 1000, "by dallocx and sdallocx")


@test
def tcmallocs_own_entry_points_are_seen(place):
	p = same_and_profiled(place, place.compile("direct_tcmalloc.c", libs=("-ltcmalloc",)))
	check_sites(p, KEPT, "by tc_malloc")
	check_given_back(p, 2000, 1500 * 1000, "by tc_free")


@test
def mimallocs_own_entry_points_are_seen(place):
	p = same_and_profiled(place, place.compile("direct_mimalloc.c", libs=("-lmimalloc",)))
	check_sites(p, KEPT, "by mi_malloc")
	check_given_back(p, 2000, 1500 * 1000, "by mi_free")
	p = same_and_profiled(place, place.compile("heap_mimalloc.c", libs=("-lmimalloc",)))
	objects, space = p.cumulative("inuse_objects"), p.cumulative("inuse_space")
	want = {"keep_heap_calloc": (1000, 1000000), "keep_heap_realloc": (1000, 3000000), "keep_aligned_at": (1000, 600000), "keep_text": (2000, 600000),
		"keep_expanded": (1000, 90000)}
	check_eq(want, {n: (objects.get(n), space.get(n)) for n in want}, "what is in use by mi_heap_calloc and others")
	check_given_back(p, 2000, 1500 * 1000, "by mi_reallocf and mi_free")


@test
def a_preloaded_allocator_behind_the_sampler_is_sampled(place):
	program = place.compile("linked.c")
	for name in LIBRARIES:
		# heapd run puts itself in front of what LD_PRELOAD already has.
		p = same_and_profiled(place, program, env={"LD_PRELOAD": library(name)})
		check_sites(p, KEPT, f"with {name} preloaded")


@test
def a_preloaded_allocator_in_front_of_the_sampler_works_on(place):
	program = place.compile("linked.c")
	cxx = place.compile("cxx.cc", compiler="g++", flags=("-g", "-O2", "-std=c++17"))
	for name in LIBRARIES:
		for p in (program, cxx):
			r = place.run([p], env=place.preload(1, LD_PRELOAD=f"{library(name)} {LIBHEAPD}"))
			check_eq((0, "done\n", ""), (r.code, r.text, r.errors), f"{os.path.basename(p)} with {name} in front")


@test
def under_address_sanitizer_heapd_steps_aside_and_says_so_once(place):
	flags = ("-g", "-O1", "-fsanitize=address")
	good = place.compile("linked.c", "asan-good", flags=flags)
	bad = place.compile(place.write("bad.c", "#include <stdlib.h>\nint main(int c, char **v) { char *p = malloc(10); free(p); return p[c]; }\n"), flags=flags)
	env = {"ASAN_OPTIONS": "detect_leaks=0"}
	plain = place.run([good], env=env).good()
	under = place.heapd("run", "--", good, env=env)
	check_eq((plain.code, plain.text), (under.code, under.text), "exit code and stdout")
	said = [l for l in under.errors.splitlines() if re.search(r"(?i)sanitizer", l)]
	check_eq(1, len(said), f"lines about the sanitizer in {under.errors!r}")
	under = place.heapd("run", "--", bad, env=env)
	check_eq(place.run([bad], env=env).code, under.code, "the exit code when ASan finds something")
	check_in("heap-use-after-free", under.errors, "ASan's report")


@test
def a_sanitized_child_of_a_sampled_shell_works(place):
	good = place.compile("linked.c", "asan-good", flags=("-g", "-O1", "-fsanitize=address"))
	r = place.heapd("run", "--", "sh", "-c", f"{good}; echo $?", env={"ASAN_OPTIONS": "detect_leaks=0"})
	check_eq((0, "done\n0\n"), (r.code, r.text), "exit code and stdout")


@test
def a_thread_sanitized_program_is_left_alone(place):
	good = place.compile("linked.c", "tsan-good", flags=("-g", "-O1", "-fsanitize=thread"))
	plain = place.run(["setarch", "-R", good])
	if plain.code:
		raise Skip("ThreadSanitizer does not work here")
	under = place.heapd("run", "--", "setarch", "-R", good)
	check_eq((plain.code, plain.text), (under.code, under.text), "exit code and stdout")


if __name__ == "__main__":
	main()
