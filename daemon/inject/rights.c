/* rights.c - see rights.h. The rules are those of ptrace(2), "Ptrace access mode checking", and of
 * Documentation/admin-guide/LSM/Yama.rst; they are only consulted to explain, never to decide. */
#include "rights.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CAP_SYS_PTRACE_BIT 19

/* 0 classic, 1 descendants only, 2 capability only, 3 nobody; 0 without Yama, too. */
static int
yama_scope(void)
{
	char text[16] = "";
	int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return (int)strtol(text, NULL, 10);
}

static bool
same_user_namespace(int proc)
{
	struct stat ours, theirs;

	/* Where theirs cannot even be looked at, it is the other rules that forbid it. */
	return stat("/proc/self/ns/user", &ours) < 0 || fstatat(proc, "ns/user", &theirs, 0) < 0 ||
	       (ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev);
}

static void
add_user(struct text *why, uid_t uid)
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		text_printf(why, "user %s", user->pw_name);
	else
		text_printf(why, "uid %u", uid);
}

void
rights_explain(int proc, const struct process_status *target, struct text *why)
{
	struct process_status self = { 0 };
	struct stat owner;
	int scope = yama_scope(), own = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uid_t uid = getuid();

	if (own >= 0) {
		(void)process_status_read(own, &self);
		close(own);
	}
	if (scope == 3) {
		text_add(why,
			 "cannot be traced by anybody: kernel.yama.ptrace_scope is 3 and stays so until the next boot");
	} else if (self.effective >> CAP_SYS_PTRACE_BIT & 1) {
		if (!same_user_namespace(proc))
			text_add(why,
				 "is in a user namespace above or beside this one: run heapd outside of the container");
		else if (self.seccomp)
			text_add(why,
				 "may not be traced from within this container: its seccomp profile forbids ptrace "
				 "(docker run --cap-add SYS_PTRACE allows it)");
		else
			text_add(why, "may not be traced, although we have CAP_SYS_PTRACE: a security module (SELinux, "
				      "AppArmor) forbids it, its log says which rule");
	} else if (target->uid != uid || target->effective_uid != uid || target->saved_uid != uid) {
		text_add(why, "belongs to ");
		add_user(why, target->effective_uid != uid ? target->effective_uid : target->uid);
		if (uid == 0)
			text_add(why, ", and this root lacks CAP_SYS_PTRACE: give the container that capability");
		else
			text_add(why, ": run heapd as that user or as root");
	} else if (scope == 2) {
		text_add(why,
			 "can only be traced with CAP_SYS_PTRACE: kernel.yama.ptrace_scope is 2; run heapd as root");
	} else if (fstat(proc, &owner) == 0 && owner.st_uid != target->effective_uid) {
		text_add(why,
			 "keeps its memory to itself (it changed its identity, its file is not readable, or it asked "
			 "for it with PR_SET_DUMPABLE): run heapd as root");
	} else if ((target->permitted & ~self.permitted) != 0) {
		text_add(why, "has capabilities that we have not: run heapd as root");
	} else if (scope == 1) {
		text_add(why, "is not a child of ours, and kernel.yama.ptrace_scope is 1: run heapd as root, or allow "
			      "it with "
			      "sysctl kernel.yama.ptrace_scope=0");
	} else {
		text_add(why, "may not be traced: a security module or the container we are in forbids it");
	}
}
