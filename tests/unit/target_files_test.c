/* target_files_test.c - files that a target names, in roots of its own. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target_files.h"

static char dir[] = "/tmp/heapd-target-files-XXXXXX";

static bool
shell(const char *command)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "cd %s && %s", dir, command);
	return system(whole) == 0;
}

/* A child whose root is DIR/root. Its input keeps it alive. */
static pid_t
start_jailed(int *ret_input)
{
	char root[64], byte = 0;
	int in[2], out[2];
	pid_t pid;

	snprintf(root, sizeof(root), "%s/root", dir);
	CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		close(in[1]);
		if (chroot(root) < 0 || write(out[1], "x", 1) != 1 || read(in[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(in[0]);
	close(out[1]);
	CHECK_EQ(1, read(out[0], &byte, 1));
	close(out[0]);
	*ret_input = in[1];
	return pid;
}

static const char *
contents(struct target_files *t, const char *path, bool follow)
{
	static char text[64];
	struct stat status;
	int fd = -1, r = target_files_open(t, path, follow, 0, &fd, &status);
	ssize_t n;

	if (r < 0) {
		snprintf(text, sizeof(text), "%s", strerrorname_np(-r));
		return text;
	}
	n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

TEST(names_and_links_of_a_target_stay_inside_of_its_root)
{
	struct target_files *t = NULL;
	int input, status;
	pid_t pid;

	if (getuid() != 0) {
		printf("ok names_of_a_target_in_a_root_of_its_own # skip not root\n");
		return;
	}
	CHECK(mkdtemp(dir) != NULL);
	CHECK(shell("mkdir -p root/lib root/etc && printf inside > root/lib/file && printf outside > file && "
		    "printf shadow > root/etc/hostname && ln -s /etc/hostname root/lib/absolute && "
		    "ln -s ../../../../file root/lib/climber && ln -s file root/lib/link && ln -s /proc/self/exe "
		    "root/lib/magic && "
		    "mkfifo root/lib/fifo && : > root/lib/empty && mknod root/lib/zero c 1 5"));
	pid = start_jailed(&input);
	CHECK_EQ(0, target_files_new((uint32_t)pid, 0, &t));
	CHECK_STR("inside", contents(t, "/lib/file", true));
	CHECK_STR("inside", contents(t, "/lib/link", true));
	CHECK_STR("EINVAL", contents(t, "/lib/link", false));
	CHECK_STR("shadow", contents(t, "/lib/absolute", true));
	CHECK_STR("ENOENT", contents(t, "/lib/climber", true));
	CHECK_STR("ENOENT", contents(t, "/../../../file", true));
	CHECK_STR("ENOENT", contents(t, "/lib/magic", true));
	CHECK_STR("EINVAL", contents(t, "/lib/fifo", true));
	CHECK_STR("EINVAL", contents(t, "/lib/empty", true));
	CHECK_STR("EINVAL", contents(t, "/lib/zero", true));
	CHECK_STR("EINVAL", contents(t, "/lib", true));
	close(input);
	CHECK(waitpid(pid, &status, 0) == pid);
	target_files_free(t);
	CHECK(shell("rm -r \"$PWD\""));
}

TEST(a_target_gets_no_file_read_that_its_user_may_not_read)
{
	static const struct {
		const char *name;
		uid_t owner;
		mode_t mode;
		int for_root, for_user; /* 12345 */
	} files[] = {
		{ "theirs", 12345, 0600, 0, 0 },
		{ "theirs_shut", 12345, 0000, 0, -EACCES },
		{ "open", 0, 0644, 0, 0 },
		{ "secret", 0, 0600, 0, -EACCES },
		{ "of_a_group", 0, 0640, 0, -EACCES },
		{ "another's", 12346, 0600, 0, -EACCES },
		{ "execute_only", 0, 0711, 0, -EACCES },
	};
	char directory[] = "/tmp/heapd-target-files-XXXXXX", path[128], link[128];
	struct inotify_event event;
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (getuid() != 0) {
		printf("# not root, not tested\n");
		close(watch);
		return;
	}
	CHECK(mkdtemp(directory) != NULL);
	snprintf(link, sizeof(link), "%s/link", directory);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct stat st;
		int fd;

		snprintf(path, sizeof(path), "%s/%s", directory, files[i].name);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		CHECK(write(fd, "x", 1) == 1 && fchown(fd, files[i].owner, 0) == 0 && fchmod(fd, files[i].mode) == 0);
		close(fd);
		CHECK_EQ(0, symlink(path, link));
		CHECK_EQ(files[i].for_root, host_file_open(path, true, 0, &fd, &st));
		close(fd);
		CHECK(inotify_add_watch(watch, path, IN_OPEN) >= 0);
		fd = -1;
		CHECK_EQ(files[i].for_user, host_file_open(path, false, 12345, &fd, &st));
		CHECK_EQ(files[i].for_user == 0, read(watch, &event, sizeof(event)) > 0);
		close(fd);
		fd = -1;
		CHECK_EQ(files[i].for_user, host_file_open(link, true, 12345, &fd, &st));
		CHECK_EQ(files[i].for_user == 0, read(watch, &event, sizeof(event)) > 0);
		close(fd);
		CHECK(unlink(link) == 0 && unlink(path) == 0);
		while (read(watch, &event, sizeof(event)) > 0) {
		}
	}
	close(watch);
	CHECK_EQ(0, rmdir(directory));
}

TEST(a_process_is_known_by_its_start_time_and_its_real_user)
{
	struct target_files *t = NULL;
	char text[1024] = "";
	FILE *file = fopen("/proc/self/stat", "r");
	uint64_t start_time = 0;
	char *at;

	CHECK(file && fgets(text, sizeof(text), file));
	if (file)
		fclose(file);
	at = strrchr(text, ')');
	for (int i = 0; at && i < 20; i++)
		at = strchr(at + 1, ' ');
	start_time = at ? strtoull(at, NULL, 10) : 0;
	CHECK(start_time > 0);
	CHECK_EQ(0, target_files_new((uint32_t)getpid(), start_time, &t));
	CHECK_EQ(getuid(), target_files_uid(t));
	CHECK_EQ(getpid(), target_files_inner_pid(t));
	target_files_free(t);
	CHECK_EQ(-ESRCH, target_files_new((uint32_t)getpid(), start_time + 1, &t));
	CHECK_EQ(-ESRCH, target_files_new(0, 0, &t));
	CHECK_EQ(-ESRCH, target_files_new(0x7ffffff0, 0, &t));
}

TEST(the_program_and_the_mapped_files_of_a_process_are_opened)
{
	struct target_files *t = NULL;
	struct stat program, own;
	uint64_t here = (uint64_t)(uintptr_t)&start_jailed;
	int fd = -1;

	CHECK_EQ(0, target_files_new((uint32_t)getpid(), 0, &t));
	CHECK_EQ(0, stat("/proc/self/exe", &own));
	CHECK_EQ(0, target_files_open_program(t, &fd, &program));
	CHECK_EQ(own.st_ino, program.st_ino);
	close(fd);
	CHECK_EQ(own.st_ino, target_files_mapped_inode(t, here, here + 1));
	CHECK_EQ(0, target_files_mapped_inode(t, 0, 1));
	if (getuid() == 0) {
		CHECK_EQ(0, target_files_open_mapped(t, here, here + 1, &fd, &program));
		CHECK_EQ(own.st_ino, program.st_ino);
		close(fd);
	}
	target_files_free(t);
}
