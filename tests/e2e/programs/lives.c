/* lives - what processes do with themselves. Each of these keeps blocks by keep() first.
 *
 *   lives steps               1000 blocks for each line on stdin, answered by "done"
 *   lives daemon DIRECTORY    become a daemon: double fork, all files closed, numbers 3 to 20 on files of the directory; 1000
 *                             blocks more; its pid goes to DIRECTORY/pid
 *   lives again N             execute itself N times, each with 10 blocks
 *   lives spawn               children by clone, vfork, posix_spawn, clone(CLONE_VM), system and popen; 1000 blocks more
 *   lives files               list its open files, then those of a program that it becomes
 *   lives end HOW             end by exit, _exit, abort, kill or exec while eight threads allocate
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

__attribute__((noinline)) static void
keep(int n)
{
	for (int i = 0; i < n; i++) {
		void *volatile kept = malloc(777);

		(void)kept;
	}
}

__attribute__((noinline)) static void
in_child(int n)
{
	for (int i = 0; i < n; i++) {
		void *volatile kept = malloc(333);

		(void)kept;
	}
}

static void
steps(void)
{
	static char line[64], buffer[BUFSIZ];

	setvbuf(stdin, buffer, _IOLBF, sizeof(buffer));
	while (fgets(line, sizeof(line), stdin)) {
		keep(1000);
		if (write(1, "done\n", 5) != 5)
			abort();
	}
}

static void
become_daemon(const char *directory)
{
	char name[512], final[512];
	FILE *f;

	for (int i = 0; i < 2; i++) {
		if (fork() != 0)
			_exit(0);
		setsid();
	}
	if (chdir("/") != 0)
		abort();
	umask(0);
	closefrom(3);
	for (int fd = 3; fd <= 20; fd++) {
		snprintf(name, sizeof(name), "%s/%d", directory, fd);
		if (open(name, O_RDWR | O_CREAT, 0600) != fd)
			abort();
	}
	keep(1000);
	snprintf(name, sizeof(name), "%s/new", directory);
	snprintf(final, sizeof(final), "%s/pid", directory);
	f = fopen(name, "w");
	if (!f)
		abort();
	fprintf(f, "%d\n", getpid());
	fclose(f);
	rename(name, final);
}

static void
again(char **argv, long n)
{
	char number[32];

	keep(10);
	if (n <= 0)
		return;
	snprintf(number, sizeof(number), "%ld", n - 1);
	argv[2] = number;
	execv("/proc/self/exe", argv);
	abort();
}

static void
check_child(const char *how, long pid)
{
	int status = -1;

	if (pid < 0 || waitpid((pid_t)pid, &status, 0) != pid)
		abort();
	printf("%s: %d\n", how, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static int
in_shared_memory(void *closure)
{
	(void)closure;
	return 9;
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void
spawn(void)
{
	static char stack[65536];
	char *arguments[] = { (char *)"sh", (char *)"-c", (char *)"exit 8", NULL };
	char line[64] = "";
	pid_t pid;
	FILE *f;

	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L);
	if (pid == 0) {
		in_child(100);
		_exit(6);
	}
	check_child("clone", pid);
	pid = vfork();
	if (pid == 0) {
		execve("/bin/sh", arguments, environ);
		_exit(1);
	}
	check_child("vfork", pid);
	if (posix_spawnp(&pid, "sh", NULL, NULL, arguments, environ) != 0)
		abort();
	check_child("posix_spawn", pid);
	check_child("clone(CLONE_VM)",
		    clone(in_shared_memory, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
	printf("system: %d\n", WEXITSTATUS(system("exit 7")));
	f = popen("echo hello", "r");
	if (!f || !fgets(line, sizeof(line), f))
		abort();
	printf("popen: %d %s", pclose(f), line);
	keep(1000);
}

static void
files(void)
{
	DIR *d = opendir("/proc/self/fd");

	for (struct dirent *e; d && (e = readdir(d)) != NULL;)
		printf("%s ", e->d_name);
	closedir(d);
	printf("\n");
	fflush(stdout);
	execlp("sh", "sh", "-c", "cd /proc/self/fd && echo *", NULL);
	abort();
}

static _Atomic int allocating;

static void *
allocate(void *closure)
{
	for (unsigned i = 0;; i++) {
		void *volatile p = malloc(i % 3000);

		free(p);
		if (i == 100)
			allocating++;
	}
	return closure;
}

static void
end(const char *how)
{
	pthread_t thread;

	for (int i = 0; i < 8; i++)
		if (pthread_create(&thread, NULL, allocate, NULL) != 0)
			abort();
	while (allocating < 8)
		sched_yield();
	if (strcmp(how, "exit") == 0)
		exit(3);
	if (strcmp(how, "_exit") == 0)
		_exit(4);
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(how, "exec") == 0)
		execlp("sh", "sh", "-c", "exit 5", NULL);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "again") != 0)
		keep(1000);
	if (strcmp(what, "steps") == 0)
		steps();
	if (strcmp(what, "daemon") == 0 && argc > 2)
		become_daemon(argv[2]);
	if (strcmp(what, "again") == 0 && argc > 2)
		again(argv, atol(argv[2]));
	if (strcmp(what, "spawn") == 0)
		spawn();
	if (strcmp(what, "files") == 0)
		files();
	if (strcmp(what, "end") == 0 && argc > 2)
		end(argv[2]);
	return 0;
}
