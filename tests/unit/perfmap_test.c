/* perfmap_test.c - names of compiled code from /tmp/perf-PID.map; this process is the target. */
#include "test.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "perfmap.h"
#include "symbols.h"
#include "target_files.h"

static char map_path[64];

static void
write_map(const char *mode, const char *text)
{
	FILE *file;

	snprintf(map_path, sizeof(map_path), "/tmp/perf-%d.map", (int)getpid());
	file = fopen(map_path, mode);
	if (file) {
		fputs(text, file);
		fclose(file);
	}
}

static const char *
name_at(const struct perfmap *p, uint64_t address)
{
	static char text[256];
	size_t length = 0;
	const char *name = perfmap_find(p, address, &length);

	snprintf(text, sizeof(text), "%.*s", name ? (int)length : 4, name ? name : "NONE");
	return text;
}

static struct target_files *
myself(void)
{
	struct target_files *t = NULL;

	CHECK_EQ(0, target_files_new((uint32_t)getpid(), 0, &t));
	return t;
}

TEST(lines_of_a_perf_map_name_the_addresses_they_cover)
{
	struct perfmap *p = perfmap_new();
	struct target_files *t = myself();

	write_map("w", "1000 10 first\n"
		       "0x2000 0x20 LazyCompile:*render /app/a b.js:12\n"
		       "not a line\n"
		       "3000\n"
		       "3000 10\n"
		       "3000 zz name\n"
		       "ffffffffffffffff 10 wraps\n"
		       "11112222333344445 1 too many digits\n"
		       "4000 0 empty\n"
		       "1008 8 later\n"
		       "5000 10 old\n"
		       "5000 10 new\n"
		       "6000 10 unfinished");
	CHECK_EQ(0, perfmap_update(p, t));
	CHECK_STR("first", name_at(p, 0x1000));
	CHECK_STR("first", name_at(p, 0x1007));
	CHECK_STR("later", name_at(p, 0x1008));
	CHECK_STR("NONE", name_at(p, 0x1010));
	CHECK_STR("NONE", name_at(p, 0xfff));
	CHECK_STR("LazyCompile:*render /app/a b.js:12", name_at(p, 0x201f));
	CHECK_STR("NONE", name_at(p, 0x3000));
	CHECK_STR("NONE", name_at(p, 0x4000));
	CHECK_STR("new", name_at(p, 0x5001));
	CHECK_STR("NONE", name_at(p, 0x6000));
	write_map("a", "\n7000 10 appended\n");
	CHECK_EQ(0, perfmap_update(p, t));
	CHECK_STR("unfinished", name_at(p, 0x6000));
	CHECK_STR("appended", name_at(p, 0x7000));
	unlink(map_path);
	CHECK_EQ(-2, perfmap_update(p, t));
	CHECK_STR("appended", name_at(p, 0x7000));
	perfmap_free(p);
	target_files_free(t);
}

TEST(a_perf_map_that_is_a_link_a_fifo_or_somebody_elses_is_not_read)
{
	struct perfmap *p = perfmap_new();
	struct target_files *t = myself();
	char other[80];

	write_map("w", "1000 10 name\n");
	snprintf(other, sizeof(other), "%s.other", map_path);
	CHECK_EQ(0, rename(map_path, other));
	CHECK_EQ(0, symlink(other, map_path));
	CHECK(perfmap_update(p, t) < 0);
	CHECK_EQ(0, unlink(map_path));
	CHECK_EQ(0, mkfifo(map_path, 0600));
	CHECK(perfmap_update(p, t) < 0);
	CHECK_EQ(0, unlink(map_path));
	CHECK_EQ(0, rename(other, map_path));
	if (getuid() == 0) {
		CHECK_EQ(0, chown(map_path, 12345, 12345));
		CHECK_EQ(-1, perfmap_update(p, t));
		CHECK_EQ(0, chown(map_path, 0, 0));
	} else {
		printf("ok a_perf_map_of_another_user # skip not root\n");
	}
	CHECK_EQ(0, perfmap_update(p, t));
	CHECK_STR("name", name_at(p, 0x1000));
	CHECK_EQ(0, truncate(map_path, PERFMAP_FILE_MAX + 1));
	CHECK(perfmap_update(p, t) < 0);
	CHECK_STR("name", name_at(p, 0x1000));
	unlink(map_path);
	perfmap_free(p);
	target_files_free(t);
}

TEST(frames_outside_of_modules_get_the_names_of_the_perf_map)
{
	struct snapshot_frame frames[] = { { .address = 0x1001, .module = HEAPD_NONE },
					   { .address = 0x1010, .module = HEAPD_NONE },
					   { .address = 0x1010, .module = HEAPD_NONE, .flags = HEAPD_FRAME_EXACT },
					   { .address = 0x9000, .module = HEAPD_NONE } };
	struct snapshot snap = { .frames = frames, .n_frames = 4, .pid = 1, .random = 7 };
	struct symbol found[4];
	struct symbols *s;

	write_map("w", "1000 10 compiled\033[1m\n");
	CHECK_EQ(0, symbols_new(&(struct symbols_options){ .worker = "/nonexistent" }, &s));
	CHECK_EQ(0, symbols_resolve(s, &snap, (uint32_t)getpid(), found));
	CHECK_EQ(SYMBOL_FOUND, found[0].state);
	CHECK_STR("compiled?[1m", found[0].lines[0].name);
	CHECK(found[1].lines == found[0].lines);
	CHECK_STR("[jit]", found[2].lines[0].name);
	CHECK_EQ(SYMBOL_ABSENT, found[3].state);
	unlink(map_path);
	/* Dead: what was read while it lived still serves. */
	CHECK_EQ(0, symbols_resolve(s, &snap, 0, found));
	CHECK_STR("compiled?[1m", found[0].lines[0].name);
	symbols_free(s);
}

/* A process that ended before anybody asked leaves its file. Pid 4194305 is beyond what the kernel gives. */
TEST(a_program_that_has_ended_is_named_by_the_file_it_left)
{
	struct snapshot_frame frame = { .address = 0x1001, .module = HEAPD_NONE };
	struct snapshot snap = {
		.frames = &frame, .n_frames = 1, .pid = 4194305, .uid = getuid(), .start_time = 5, .random = 7
	};
	char path[] = "/tmp/perf-4194305.map";
	struct perfmap *p = perfmap_new();
	struct symbol found;
	struct symbols *s;
	FILE *file = fopen(path, "w");

	CHECK(file && fputs("1000 10 left\n", file) > 0 && fclose(file) == 0);
	CHECK_EQ(0, symbols_new(&(struct symbols_options){ .worker = "/nonexistent" }, &s));
	CHECK_EQ(0, symbols_resolve(s, &snap, 0, &found));
	CHECK_STR("left", found.lines[0].name);
	symbols_free(s);

	/* A file from before it began, of another user or behind a link is not its own. */
	snap.clock_start.realtime_ns = ((uint64_t)time(NULL) + 3600) * 1000000000;
	CHECK_EQ(-ESTALE, perfmap_update_ended(p, &snap));
	snap.clock_start.realtime_ns = 0;
	if (getuid() == 0) {
		snap.uid = 12346;
		CHECK_EQ(0, chown(path, 12345, 12345));
		CHECK_EQ(-EPERM, perfmap_update_ended(p, &snap));
	}
	CHECK_EQ(0, unlink(path));
	CHECK_EQ(0, symlink("/etc/passwd", path));
	CHECK(perfmap_update_ended(p, &snap) < 0);
	CHECK_EQ(0, unlink(path));
	CHECK_EQ(-ENOENT, perfmap_update_ended(p, &snap));

	/* Nor is that of the pid's next owner. */
	write_map("w", "1000 10 another\n");
	snap.pid = (uint32_t)getpid();
	CHECK_EQ(-ESTALE, perfmap_update_ended(p, &snap));
	unlink(map_path);
	perfmap_free(p);
}

/* A container's process: its own number and its own /tmp. */
TEST(the_perf_map_of_a_process_in_a_namespace_is_found_by_its_inner_pid)
{
	char command[] = "unshare --fork --pid --mount sh -c '"
			 "mount -t tmpfs none /tmp && echo \"2000 10 inner\" > /tmp/perf-1.map && echo ready && "
			 "exec sleep 600' 2> /dev/null";
	char line[64] = "", path[64];
	struct target_files *t = NULL;
	struct perfmap *p = perfmap_new();
	FILE *pipe, *list;
	long pid = 0;

	if (system("unshare --fork --pid --mount mount -t tmpfs none /tmp > /dev/null 2>&1") != 0) {
		printf("ok the_perf_map_of_a_process_in_a_namespace # skip no right to make namespaces\n");
		perfmap_free(p);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
	pipe = popen(command, "r");
	CHECK(pipe && fgets(line, sizeof(line), pipe) && strcmp(line, "ready\n") == 0);
	/* Ours is sh, whose child is unshare or which became it, whose child is the one. */
	for (int generation = 0; generation < 4; generation++) {
		long child = 0;
		list = fopen(path, "r");
		if (!list || fscanf(list, "%ld", &child) != 1)
			generation = 4;
		else
			pid = child;
		if (list)
			fclose(list);
		snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", pid, pid);
	}
	CHECK_EQ(0, target_files_new((uint32_t)pid, 0, &t));
	CHECK_EQ(1, t ? target_files_inner_pid(t) : 0);
	CHECK_EQ(0, t ? perfmap_update(p, t) : -1);
	CHECK_STR("inner", name_at(p, 0x2000));
	if (pid > 1) {
		snprintf(path, sizeof(path), "kill -9 %ld", pid);
		CHECK_EQ(0, system(path));
	}
	pclose(pipe);
	target_files_free(t);
	perfmap_free(p);
}
