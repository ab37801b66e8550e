/* targets_test.c - discovery: what is taken for a target, what for alive, and what is left behind. */
#include "targets.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake_segment.h"
#include "life.h"
#include "test.h"

static char dir[64];
static const char *const dirs[] = { dir, NULL };

static void
new_dir(void)
{
	snprintf(dir, sizeof(dir), "/dev/shm/test-heapd-XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void
remove_dir(void)
{
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Write a segment into the directory under its name, or under `name`. Returns its path; static. */
static const char *
put(struct fake_segment *f, const char *name)
{
	static char path[256];
	char own[128];
	int fd;

	fake_file_name(f, own, sizeof(own));
	snprintf(path, sizeof(path), "%s/%s", dir, name ? name : own);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	fake_write(f, fd);
	close(fd);
	return path;
}

/* A child that writes a segment about itself, maps it and waits. */
static pid_t
start_target(const char *name, uint64_t random)
{
	int ready[2];
	char byte;
	pid_t pid;

	CHECK_EQ(0, pipe2(ready, O_CLOEXEC));
	pid = fork();
	if (pid == 0) {
		struct fake_segment *f =
			fake_new((uint32_t)getpid(), fake_start_time((uint32_t)getpid()), random, name);
		int fd;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it must not outlive a test that was stopped */
		fake_module(f, "/usr/bin/prog", 0x400000, 0x500000, 0, NULL);
		fd = open(put(f, NULL), O_RDWR | O_CLOEXEC);
		if (mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
			_exit(1);
		close(fd);
		(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	CHECK_EQ(1, read(ready[0], &byte, 1));
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void
stop_target(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static size_t
count(struct targets *t, bool only_alive)
{
	struct target **list = targets_list(t);
	size_t n = 0;

	for (size_t i = 0; list[i]; i++)
		n += !only_alive || list[i]->alive;
	targets_list_free(list);
	return n;
}

/* Poll as a server does: when the fd says so, until there are n targets or time is up. */
static bool
wait_for(struct targets *t, size_t n)
{
	for (int i = 0; i < 100 && count(t, false) != n; i++) {
		struct pollfd p = { .fd = targets_fd(t), .events = POLLIN };

		if (poll(&p, 1, 2000) <= 0)
			return false; /* nothing told us */
		CHECK_EQ(0, targets_poll(t));
	}
	return count(t, false) == n;
}

TEST(the_start_time_of_a_process_is_read_right)
{
	struct stat st = { 0 };

	CHECK_EQ(1, life_started((uint32_t)getpid(), fake_start_time((uint32_t)getpid())));
	CHECK_EQ(1, life_started((uint32_t)getpid(), 0));
	CHECK_EQ(0, life_started((uint32_t)getpid(), fake_start_time((uint32_t)getpid()) + 1));
	CHECK_EQ(0, life_started(4194305, 1)); /* beyond the largest pid */
	CHECK_EQ(0, life_maps((uint32_t)getpid(), &st, "nothing"));
}

TEST(a_running_process_that_maps_its_segment_is_alive_and_dead_when_it_is_gone)
{
	struct targets *t = NULL;
	struct target *found = NULL;
	struct snapshot *snap = NULL;
	char id[64];
	pid_t pid;

	new_dir();
	pid = start_target("shop", 0xabcd12345678);
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(1, count(t, true));
	CHECK_EQ(0, targets_find(t, "shop", &found));
	snprintf(id, sizeof(id), "%d-5678", pid);
	CHECK_STR(id, found->id);
	CHECK_STR("shop", found->name);
	CHECK_STR("/usr/bin/prog", found->exe);
	CHECK_EQ(pid, found->pid);
	CHECK_EQ(geteuid(), found->uid);
	CHECK(found->alive);
	CHECK(found->since_ns > 1500000000000000000);
	CHECK_EQ(0, target_set_period(found, 4096));
	stop_target(pid);
	CHECK_EQ(0, targets_poll(t));
	CHECK(!found->alive);
	CHECK_EQ(1, count(t, false)); /* its last profile stays */
	CHECK_EQ(0, target_snapshot(found, &snap));
	CHECK_EQ(pid, snap->pid);
	CHECK_EQ(-ESRCH, target_set_period(found, 4096));
	snapshot_free(snap);
	targets_free(t);
	CHECK_STR("shop", found->name); /* the reference outlives the list */
	target_unref(found);
	remove_dir();
}

TEST(the_right_pid_and_start_time_without_the_mapping_is_not_alive)
{
	uint32_t self = (uint32_t)getpid();
	struct fake_segment *f = fake_new(self, fake_start_time(self), 1, "exec'ed");
	struct targets *t = NULL;

	new_dir();
	put(f, NULL);
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(1, count(t, false));
	CHECK_EQ(0, count(t, true));
	targets_free(t);
	fake_free(f);
	remove_dir();
}

TEST(mapping_a_copy_of_the_segment_does_not_make_its_process_alive)
{
	struct targets *t = NULL;
	char command[256];
	pid_t pid;

	new_dir();
	pid = start_target("copied", 1);
	snprintf(command, sizeof(command), "cd %s && cp --sparse=always *.heapd x && mv x $(ls *.heapd)", dir);
	CHECK_EQ(0, system(command));
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(1, count(t, false));
	CHECK_EQ(0, count(t, true));
	targets_free(t);
	stop_target(pid);
	remove_dir();
}

TEST(new_segments_are_noticed_by_themselves_and_so_are_removed_ones)
{
	struct targets *t = NULL;
	pid_t pid;
	char command[128];

	new_dir();
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(0, count(t, false));
	pid = start_target("late", 7);
	CHECK(wait_for(t, 1));
	snprintf(command, sizeof(command), "rm %s/*.heapd", dir);
	CHECK_EQ(0, system(command));
	CHECK(wait_for(t, 0));
	stop_target(pid);
	targets_free(t);
	remove_dir();
}

TEST(directories_that_do_not_exist_yet_are_waited_for)
{
	char deep[128], outer[128];
	const char *const later[] = { deep, NULL };
	struct fake_segment *f = fake_new(1, 1, 1, "deep");
	struct targets *t = NULL;

	new_dir();
	snprintf(outer, sizeof(outer), "%s/a", dir);
	snprintf(deep, sizeof(deep), "%s/a/b", dir);
	CHECK_EQ(0, targets_new(later, &t));
	CHECK_EQ(0, mkdir(outer, 0700));
	CHECK_EQ(0, targets_poll(t));
	CHECK_EQ(0, mkdir(deep, 0700));
	put(f, "a/b/1-1-1.heapd");
	CHECK(wait_for(t, 1));
	/* Gone and back again. */
	CHECK_EQ(0, nftw(deep, remove_one, 8, FTW_DEPTH | FTW_PHYS));
	CHECK(wait_for(t, 0));
	CHECK_EQ(0, mkdir(deep, 0700));
	put(f, "a/b/1-1-1.heapd");
	CHECK(wait_for(t, 1));
	targets_free(t);
	fake_free(f);
	remove_dir();
}

TEST(without_a_word_from_the_user_the_usual_places_are_looked_at)
{
	struct fake_segment *f = fake_new(70000001, 1, 0xfeed, "usual");
	struct targets *t = NULL;
	struct target *found = NULL;
	char usual[128], *saved = getenv("HEAPD_DIR");

	new_dir();
	/* The user's runtime directory; as root those of all users are among the places, /dev/shm/heapd-* as well. */
	CHECK_EQ(0, setenv("XDG_RUNTIME_DIR", dir, 1));
	snprintf(usual, sizeof(usual), "%s/heapd", dir);
	CHECK_EQ(0, unsetenv("HEAPD_DIR"));
	CHECK_EQ(0, targets_new(NULL, &t));
	CHECK_EQ(-ENOENT, targets_find(t, "70000001-feed", &found));
	CHECK_EQ(0, mkdir(usual, 0700));
	CHECK_EQ(0, targets_poll(t));
	put(f, "heapd/70000001-1-feed.heapd");
	CHECK_EQ(0, targets_poll(t));
	CHECK_EQ(0, targets_find(t, "70000001-feed", &found));
	target_unref(found);
	targets_free(t);
	/* Named in the environment, it is the only place. */
	CHECK_EQ(0, setenv("HEAPD_DIR", usual, 1));
	CHECK_EQ(0, targets_new(NULL, &t));
	CHECK_EQ(1, count(t, false));
	targets_free(t);
	CHECK_EQ(0, setenv("HEAPD_DIR", dir, 1));
	CHECK_EQ(0, targets_new(NULL, &t));
	CHECK_EQ(0, count(t, false));
	targets_free(t);
	if (saved)
		setenv("HEAPD_DIR", saved, 1);
	fake_free(f);
	remove_dir();
}

TEST(as_root_the_directories_of_all_users_are_found_also_later_ones)
{
	struct fake_segment *f = fake_new(70000002, 1, 0xbeef, "shared");
	struct targets *t = NULL;
	struct target *found = NULL;
	char user[] = "/dev/shm/heapd-test-XXXXXX";

	if (geteuid() != 0) {
		printf("# needs root, not tested\n");
		return;
	}
	CHECK_EQ(0, unsetenv("HEAPD_DIR"));
	CHECK_EQ(0, targets_new(NULL, &t));
	CHECK(mkdtemp(user) != NULL);
	CHECK_EQ(0, targets_poll(t));
	snprintf(dir, sizeof(dir), "%s", user);
	put(f, NULL);
	CHECK_EQ(0, targets_poll(t));
	CHECK_EQ(0, targets_find(t, "70000002-beef", &found));
	target_unref(found);
	targets_free(t);
	fake_free(f);
	remove_dir();
}

TEST(a_segment_still_being_written_becomes_a_target_once_it_is_ready)
{
	struct fake_segment *f = fake_new(1, 1, 1, "young");
	struct targets *t = NULL;
	uint32_t ready = HEAPD_STATE_READY;
	int fd;

	new_dir();
	atomic_store(&f->header.state, HEAPD_STATE_STARTING);
	CHECK_EQ(0, targets_new(dirs, &t));
	fd = open(put(f, NULL), O_RDWR | O_CLOEXEC);
	CHECK_EQ(0, targets_poll(t));
	CHECK_EQ(0, count(t, false));
	CHECK_EQ(4, pwrite(fd, &ready, 4, offsetof(struct heapd_header, state)));
	CHECK(wait_for(t, 1));
	CHECK_EQ(0, targets_refused(t));
	close(fd);
	targets_free(t);
	fake_free(f);
	remove_dir();
}

TEST(what_is_no_segment_is_refused_once_and_counted)
{
	struct fake_segment *f = fake_new(8, 9, 0xa, "liar");
	struct targets *t = NULL;
	char path[256], command[256];

	new_dir();
	put(f, "7-9-a.heapd"); /* another pid */
	put(f, "8-1-a.heapd"); /* another start */
	put(f, "8-9-b.heapd"); /* another life */
	put(f, "8-9-A.heapd"); /* not a number we write */
	put(f, "8-9.heapd");
	put(f, "-8-9-a.heapd");
	put(f, "8-9-a.heapd.old"); /* not ours at all: ignored */
	put(f, "99999999999999999999-9-a.heapd");
	snprintf(path, sizeof(path), "%s/5-5-5.heapd", dir);
	CHECK_EQ(0, symlink("8-9-a.heapd.old", path));
	snprintf(path, sizeof(path), "%s/6-6-6.heapd", dir);
	CHECK_EQ(0, mkfifo(path, 0600));
	snprintf(command, sizeof(command), "echo hello >%s/4-4-4.heapd; mkdir %s/3-3-3.heapd", dir, dir);
	CHECK_EQ(0, system(command));
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(0, count(t, false));
	CHECK_EQ(11, targets_refused(t));
	put(f, NULL);
	CHECK_EQ(0, targets_poll(t));
	CHECK_EQ(1, count(t, false));
	CHECK_EQ(11, targets_refused(t));
	targets_free(t);
	fake_free(f);
	remove_dir();
}

TEST(as_root_a_users_directory_speaks_for_that_user_alone)
{
	struct fake_segment *f = fake_new(8, 9, 0xa, "other");
	struct targets *t = NULL;
	const char *path;

	if (geteuid() != 0) {
		printf("# needs root, not tested\n");
		return;
	}
	new_dir();
	path = put(f, NULL);
	CHECK_EQ(0, chown(dir, 1000, 1000));
	CHECK_EQ(0, chown(path, 1001, 1001));
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(0, count(t, false));
	CHECK_EQ(1, targets_refused(t));
	targets_free(t);
	CHECK_EQ(0, chown(path, 1000, 1000));
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(1, count(t, false));
	targets_free(t);
	/* Anybody may put segments in a directory of root's. */
	CHECK_EQ(0, chown(dir, 0, 0));
	CHECK_EQ(0, chown(path, 1001, 1001));
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(1, count(t, false));
	targets_free(t);
	fake_free(f);
	remove_dir();
}

TEST(as_a_user_other_peoples_directories_and_files_are_left_alone)
{
	struct fake_segment *mine = fake_new(8, 9, 0xa, "mine"), *other = fake_new(8, 9, 0xb, "other");
	char path[256];
	int status = -1;
	pid_t child;

	if (geteuid() != 0) {
		printf("# needs root, not tested\n");
		return;
	}
	new_dir();
	snprintf(path, sizeof(path), "%s", put(mine, NULL));
	CHECK_EQ(0, chown(path, 1000, 1000));
	put(other, NULL);
	CHECK_EQ(0, chmod(dir, 01777));
	child = fork();
	if (child == 0) {
		struct targets *t = NULL;

		if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
			_exit(9);
		if (targets_new(dirs, &t) < 0)
			_exit(8);
		_exit(count(t, false) == 1 && targets_refused(t) == 0 ? 0 : 7);
	}
	waitpid(child, &status, 0);
	CHECK_EQ(0, status);
	/* A directory of a third user may hold anything. */
	CHECK_EQ(0, chown(dir, 1001, 1001));
	child = fork();
	if (child == 0) {
		struct targets *t = NULL;

		if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0 || targets_new(dirs, &t) < 0)
			_exit(9);
		_exit(count(t, false) == 0 && targets_refused(t) == 1 ? 0 : 7);
	}
	waitpid(child, &status, 0);
	CHECK_EQ(0, status);
	fake_free(mine);
	fake_free(other);
	remove_dir();
}

TEST(as_root_a_user_with_thousands_of_files_keeps_no_other_user_out)
{
	struct fake_segment *f = fake_new(8, 9, 0xa, "other");
	struct targets *t = NULL;
	char path[256];

	if (geteuid() != 0) {
		printf("# needs root, not tested\n");
		return;
	}
	new_dir();
	CHECK_EQ(0, chown(put(f, NULL), 1001, 1001));
	for (int i = 0; i < 8200; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/1-2-%x.heapd", dir, i);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		CHECK(fd >= 0 && write(fd, "x", 1) == 1 && fchown(fd, 1000, 1000) == 0);
		close(fd);
	}
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(1, count(t, false));
	CHECK(targets_refused(t) >= 8200);
	targets_free(t);
	fake_free(f);
	remove_dir();
}

TEST(a_replaced_file_is_another_target_and_the_old_one_says_so)
{
	struct fake_segment *f = fake_new(8, 9, 0xa, "first");
	struct targets *t = NULL;
	struct target *found = NULL;
	struct snapshot *snap = NULL;
	char path[256], aside[300];

	new_dir();
	snprintf(path, sizeof(path), "%s", put(f, NULL));
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(0, targets_find(t, "first", &found));
	snprintf(aside, sizeof(aside), "%s.aside", path);
	CHECK_EQ(0, rename(path, aside)); /* keeps its inode number from being used again */
	CHECK_EQ(-ENOENT, target_snapshot(found, &snap));
	put(f, NULL);
	CHECK_EQ(-ESTALE, target_snapshot(found, &snap));
	CHECK_EQ(0, targets_poll(t));
	CHECK_EQ(1, count(t, false));
	target_unref(found);
	CHECK_EQ(0, targets_find(t, "first", &found));
	CHECK_EQ(0, target_snapshot(found, &snap));
	snapshot_free(snap);
	target_unref(found);
	targets_free(t);
	fake_free(f);
	remove_dir();
}

TEST(a_target_is_found_by_id_pid_and_unambiguous_name)
{
	struct targets *t = NULL;
	struct target *found = NULL;
	struct fake_segment *dead[] = { fake_new(70000001, 1, 0x10000000a, "web"),
					fake_new(70000001, 1, 0x20000000a, "old"), fake_new(70000002, 1, 0xb, "old"),
					fake_new(70000003, 1, 0xc, "gone") };
	pid_t one, two;
	char pid[16];

	new_dir();
	one = start_target("web", 1);
	two = start_target("api", 2);
	for (size_t i = 0; i < 4; i++)
		put(dead[i], NULL);
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(6, count(t, false));
	CHECK_EQ(0, targets_find(t, "web", &found)); /* the live one, though a dead one has that name */
	CHECK_EQ(one, found->pid);
	target_unref(found);
	snprintf(pid, sizeof(pid), "%d", two);
	CHECK_EQ(0, targets_find(t, pid, &found));
	CHECK_STR("api", found->name);
	target_unref(found);
	CHECK_EQ(0, targets_find(t, "gone", &found));
	CHECK_STR("70000003-000c", found->id);
	target_unref(found);
	CHECK_EQ(-ENOTUNIQ, targets_find(t, "old", &found));
	CHECK_EQ(-ENOTUNIQ, targets_find(t, "70000001", &found));
	CHECK_EQ(-ENOENT, targets_find(t, "nobody", &found));
	/* Where four digits do not tell them apart, the later one has them all. */
	CHECK_EQ(0, targets_find(t, "70000001-000a", &found));
	target_unref(found);
	found = NULL;
	if (targets_find(t, "70000001-000000010000000a", &found) < 0)
		CHECK_EQ(0, targets_find(t, "70000001-000000020000000a", &found));
	target_unref(found);
	stop_target(two);
	two = start_target("web", 3);
	CHECK(wait_for(t, 7));
	CHECK_EQ(-ENOTUNIQ, targets_find(t, "web", &found));
	targets_free(t);
	stop_target(one);
	stop_target(two);
	for (size_t i = 0; i < 4; i++)
		fake_free(dead[i]);
	remove_dir();
}

/* In a child with a mount namespace, and maybe a pid namespace, of its own: a target on a tmpfs that only it sees. 0 if there
 * can be none. */
static pid_t
start_elsewhere(int namespaces, int ready)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD | namespaces, NULL, NULL, NULL, NULL);

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		    mount("none", dir, "tmpfs", 0, "mode=0700") != 0)
			_exit(1);
		(void)start_target("inside", 0x77);
		(void)!write(ready, "x", 1);
		for (;;)
			pause();
	}
	return pid > 0 ? pid : 0;
}

TEST(a_target_in_another_root_and_pid_namespace_is_found_and_seen_to_end)
{
	static const int kinds[] = { CLONE_NEWNS, CLONE_NEWNS | CLONE_NEWPID };

	for (unsigned i = 0; i < 2; i++) {
		struct targets *t = NULL;
		struct target *found = NULL;
		struct snapshot *snap = NULL;
		int ready[2];
		char byte;
		pid_t pid;

		new_dir();
		CHECK_EQ(0, pipe2(ready, O_CLOEXEC));
		pid = start_elsewhere(kinds[i], ready[1]);
		close(ready[1]);
		if (pid == 0 || read(ready[0], &byte, 1) != 1) {
			printf("# skipped: no namespaces here\n");
			close(ready[0]);
			remove_dir();
			return;
		}
		close(ready[0]);
		CHECK_EQ(0, targets_new(dirs, &t));
		CHECK_EQ(1, count(t, true));
		CHECK_EQ(0, targets_find(t, "inside", &found));
		if (found) {
			CHECK(found->pid != found->inner_pid || kinds[i] == CLONE_NEWNS);
			CHECK_EQ(1, life_started(found->pid, found->start_time));
			CHECK_EQ(0, target_set_period(found, 4096));
			CHECK_EQ(0, target_snapshot(found, &snap));
			CHECK_EQ(found->pid, snap->pid);
			snapshot_free(snap);
			kill((pid_t)found->pid, SIGKILL);
			for (int k = 0; k < 1000 && life_started(found->pid, found->start_time) == 1; k++)
				usleep(1000);
			CHECK_EQ(0, targets_poll(t));
			CHECK(!found->alive);
		}
		stop_target(pid); /* the way there goes with it */
		CHECK_EQ(0, targets_poll(t));
		CHECK_EQ(0, count(t, false));
		targets_free(t);
		target_unref(found);
		remove_dir();
	}
}

TEST(the_list_is_in_order_of_age)
{
	struct targets *t = NULL;
	struct target **list;

	new_dir();
	for (uint32_t i = 0; i < 20; i++) {
		struct fake_segment *f = fake_new(1000 + i * 7 % 20, 1, i, "x");

		f->header.clock_start.realtime_ns = 1600000000000000000 + i * 13 % 20 * UINT64_C(1000000000);
		put(f, NULL);
		fake_free(f);
	}
	CHECK_EQ(0, targets_new(dirs, &t));
	list = targets_list(t);
	for (size_t i = 0; i + 1 < 20; i++)
		CHECK(list[i] && list[i + 1] && list[i]->since_ns < list[i + 1]->since_ns);
	targets_list_free(list);
	targets_free(t);
	remove_dir();
}

TEST(of_many_dead_only_the_latest_files_stay_and_none_that_is_mapped)
{
	struct targets *t = NULL;
	struct target *found = NULL;
	void *map = NULL;
	int fd;

	new_dir();
	for (uint32_t i = 0; i < 100; i++) {
		struct fake_segment *f = fake_new(70000000 + i, 1, i, "build");

		f->header.clock_start.realtime_ns = 1600000000000000000 + i * UINT64_C(1000000000);
		if (i == 3) { /* as a process of another pid namespace would hold it */
			fd = open(put(f, NULL), O_RDWR | O_CLOEXEC);
			map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			CHECK(map != MAP_FAILED);
			close(fd);
		} else {
			put(f, NULL);
		}
		fake_free(f);
	}
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(0, targets_poll(t));
	CHECK_EQ(65, count(t, false)); /* 36 were too many, one of them is in use */
	CHECK_EQ(0, targets_find(t, "70000003", &found));
	CHECK(!found->alive);
	target_unref(found);
	CHECK_EQ(-ENOENT, targets_find(t, "70000035", &found));
	CHECK_EQ(0, targets_find(t, "70000036", &found));
	target_unref(found);
	targets_free(t);
	munmap(map, 4096);
	remove_dir();
}

/* A hundred that ended before anybody looked; number 7 allocated most, and number 3 was started by `heapd run`. */
TEST(of_many_that_ended_together_the_largest_stay_and_last_of_all_goes_the_program_that_was_run)
{
	static const struct {
		const char *pid;
		bool stays;
	} want[] = { { "70000003", true }, { "70000007", true },  { "70000004", false }, { "70000099", true },
		     { "70000084", true }, { "70000083", false }, { "70000036", false }, { "70000037", true } };
	struct targets *t = NULL;
	char link[80];

	new_dir();
	snprintf(link, sizeof(link), "%s/" TARGETS_PROGRAM, dir);
	CHECK_EQ(0, symlink("70000003", link));
	for (uint32_t i = 0; i < 100; i++) {
		struct fake_segment *f = fake_new(70000000 + i, 1, i, "kid");
		uint32_t module = fake_module(f, "/usr/bin/kid", 0x400000, 0x500000, 0, NULL);
		uint32_t frame = fake_frame(f, 0x401000, module, 0);

		f->header.clock_start.realtime_ns = 1600000000000000000 + i * UINT64_C(1000000000);
		/* The 16 from 84 on are the newest. 83 allocated least of the others; of those below 38, all alike, one stays. */
		fake_count(f, fake_site(f, &frame, 1, 0),
			   i == 3   ? 1
			   : i == 7 ? 1 << 30
			   : i < 38 ? 1000
				    : 1000000 - i,
			   1, 0);
		if (i == 83)
			f->sites[1].alloc.bytes = 2;
		put(f, NULL);
		fake_free(f);
	}
	CHECK_EQ(0, targets_new(dirs, &t));
	CHECK_EQ(0, targets_poll(t));
	CHECK_EQ(64, count(t, false));
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct target *found = NULL;

		CHECK_EQ(want[i].stays ? 0 : -ENOENT, targets_find(t, want[i].pid, &found));
		target_unref(found);
	}
	targets_free(t);
	remove_dir();
}

TEST(looking_without_polling_the_fd_works_and_nothing_leaks_a_descriptor)
{
	int before = dup(0), after;

	close(before);
	for (int i = 0; i < 20; i++) {
		struct targets *t = NULL;
		struct fake_segment *f = fake_new(8, 9, 0xa, "x");
		struct target *found = NULL;
		struct snapshot *snap = NULL;

		new_dir();
		put(f, NULL);
		CHECK_EQ(0, targets_new(dirs, &t));
		CHECK_EQ(0, targets_find(t, "x", &found));
		CHECK_EQ(0, target_snapshot(found, &snap));
		snapshot_free(snap);
		target_unref(found);
		targets_free(t);
		fake_free(f);
		remove_dir();
	}
	after = dup(0);
	close(after);
	CHECK_EQ(before, after);
}
