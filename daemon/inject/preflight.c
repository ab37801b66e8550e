/* preflight.c - see preflight.h. From what is cheapest and surest to tell to what is least. */
#include "preflight.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "rights.h"

#define INITIAL_PID_NAMESPACE 0xeffffffcu /* PROC_PID_INIT_INO of the kernel */
#define LIBRARY "libheapd.so"
#define SEGMENT ".heapd"

/* Sanitizers bring allocators that insist on being the only one. */
static const struct {
	const char *symbol, *name;
} sanitizers[] = { { "__asan_init", "AddressSanitizer" },
		   { "__tsan_init", "ThreadSanitizer" },
		   { "__msan_init", "MemorySanitizer" },
		   { "__lsan_init", "LeakSanitizer" },
		   { "__hwasan_init", "HWAddressSanitizer" } };

/* -- the process -- */

static int
proc_open(pid_t pid, struct preflight *p, struct text *why)
{
	char path[32];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	p->proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = p->proc < 0 ? -errno : process_status_read(p->proc, &p->status);
	if (r == 0)
		return 0;
	if (r == -ENOENT || r == -ESRCH)
		text_printf(why, "there is no process %d", pid);
	else
		text_printf(why, "cannot look at process %d: %s", pid, strerror(-r));
	return -1;
}

static void
say_tracer(pid_t pid, const struct process_status *status, struct text *why)
{
	struct process_status tracer;
	char path[32];
	int proc;

	(void)snprintf(path, sizeof(path), "/proc/%d", status->tracer);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	text_printf(why, "%d (%s) is traced by process %d", pid, status->name, status->tracer);
	if (proc >= 0 && process_status_read(proc, &tracer) == 0)
		text_printf(why, " (%s)", tracer.name);
	text_add(why, ": a process has one tracer at most; end that one first");
	if (proc >= 0)
		close(proc);
}

static bool
is_machines_init(pid_t pid)
{
	struct stat ours;

	return pid == 1 && stat("/proc/self/ns/pid", &ours) == 0 && ours.st_ino == INITIAL_PID_NAMESPACE;
}

static int
state_check(pid_t pid, const struct process_status *s, struct text *why)
{
	if (s->group != pid)
		text_printf(why, "%d is a thread of process %d (%s): attach to that one", pid, s->group, s->name);
	else if (pid == getpid())
		text_printf(why, "%d is heapd itself", pid);
	else if (is_machines_init(pid))
		text_add(why, "1 is the machine's init: were it to die, so would the machine");
	else if (s->state == 'Z' || s->state == 'X')
		text_printf(why, "%d (%s) has ended: it is a zombie that its parent has not waited for", pid, s->name);
	else if (!s->has_memory)
		text_printf(why, "%d (%s) is a thread of the kernel", pid, s->name);
	else if (s->tracer != 0)
		say_tracer(pid, s, why);
	else if (s->state == 'T' || s->state == 't')
		text_printf(why, "%d (%s) is stopped: let it go on first (kill -CONT %d)", pid, s->name, pid);
	else
		return 0;
	return -1;
}

/* The program's own file tells its class; in a 32-bit process even the auxiliary vector has another shape. */
static int
class_check(pid_t pid, struct preflight *p, struct text *why)
{
	unsigned char ident[20];
	int fd = openat(p->proc, "exe", O_RDONLY | O_CLOEXEC);
	ssize_t n;
	uint16_t machine;

	if (fd < 0)
		return 0; /* the rights will tell */
	n = pread(fd, ident, sizeof(ident), 0);
	close(fd);
	if (n != sizeof(ident) || memcmp(ident, ELFMAG, SELFMAG) != 0)
		return 0;
	memcpy(&machine, ident + offsetof(Elf64_Ehdr, e_machine), sizeof(machine));
	if (ident[EI_CLASS] == ELFCLASS64 && machine == EM_X86_64)
		return 0;
	text_printf(why, "%d (%s) is a %s program: " LIBRARY " cannot be loaded into it", pid, p->status.name,
		    ident[EI_CLASS] == ELFCLASS32 ? "32-bit" : "foreign machine's");
	return -1;
}

static int
rights_check(pid_t pid, struct preflight *p, struct text *why)
{
	int r = image_open(p->proc, &p->image);

	if (r == -EACCES || r == -EPERM) {
		text_printf(why, "%d (%s) ", pid, p->status.name);
		rights_explain(p->proc, &p->status, why);
	} else if (r == -ESRCH || r == -ENOENT) {
		text_printf(why, "%d (%s) has just ended", pid, p->status.name);
	} else if (r < 0) {
		text_printf(why, "cannot read the memory of %d (%s): %s", pid, p->status.name, strerror(-r));
	}
	/* A process that does not exist: whoever may trace at all is told so. */
	if (r == 0 && ptrace(PTRACE_PEEKUSER, -1, NULL, NULL) < 0 && errno != ESRCH) {
		text_add(why,
			 "this container's seccomp profile forbids ptrace (docker run --cap-add SYS_PTRACE allows it)");
		return -1;
	}
	return r < 0 ? -1 : 0;
}

/* Each thread may have a filter of its own; a new one has that of its maker. */
static int
seccomp_check(pid_t pid, const struct preflight *p, struct text *why)
{
	int fd = openat(p->proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = p->status.seccomp;
	DIR *tasks = fd >= 0 ? fdopendir(fd) : NULL;

	for (struct dirent *e; tasks && found == 0 && (e = readdir(tasks));) {
		pid_t thread = (pid_t)strtol(e->d_name, NULL, 10);
		struct process_status s;

		if (thread > 0 && process_status_of_thread(p->proc, thread, &s) == 0)
			found = s.seccomp;
	}
	if (tasks)
		closedir(tasks);
	else if (fd >= 0)
		close(fd);
	if (found == 0)
		return 0;
	text_printf(why,
		    "%d (%s) has locked itself in (seccomp): to load a library it must open and map files, which its "
		    "filter may kill it for. Start it under heapd run instead",
		    pid, p->status.name);
	return -1;
}

/* -- what is loaded -- */

static int
kind_check(pid_t pid, const struct preflight *p, struct text *why)
{
	const struct image *image = p->image;
	const char *name = p->status.name;

	if (image->kind == IMAGE_GO)
		text_printf(
			why,
			"%d (%s) is a Go program without C in it: it has no malloc to sample; its own profiles are in "
			"net/http/pprof",
			pid, name);
	else if (image->kind == IMAGE_STATIC)
		text_printf(why, "%d (%s) is statically linked%s: nothing can be loaded into it", pid, name,
			    image->position_independent ? " (static-pie)" : "");
	else if (strstr(image->interpreter, "ld-musl"))
		text_printf(why, "%d (%s) uses musl (%s): " LIBRARY " is built for glibc", pid, name,
			    image->interpreter);
	else if (image->n_modules == 0)
		text_printf(why, "%d (%s) is still being started: try again", pid, name);
	else
		return 0;
	return -1;
}

/* A segment of the library's is mapped there. */
static bool
has_segment(int proc)
{
	int fd = openat(proc, "maps", O_RDONLY | O_CLOEXEC);
	FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;
	bool found = false;
	char line[4352];

	while (maps && !found && fgets(line, sizeof(line), maps)) {
		size_t length = strcspn(line, "\n");

		found = length > sizeof(SEGMENT) - 1 &&
			memcmp(line + length - (sizeof(SEGMENT) - 1), SEGMENT, sizeof(SEGMENT) - 1) == 0;
	}
	if (maps)
		(void)fclose(maps);
	else if (fd >= 0)
		close(fd);
	return found;
}

/* Preloaded, it stands before the C library; behind it, an attempt may have failed there before. */
static int
sampled_check(pid_t pid, const struct preflight *p, struct text *why)
{
	size_t libc = 0;

	(void)image_find(p->image, "__libc_start_main", &libc);
	for (size_t i = 0; i < p->image->n_modules; i++) {
		const char *base = strrchr(p->image->modules[i].path, '/');

		if (base && strcmp(base + 1, LIBRARY) == 0 && (i < libc || has_segment(p->proc))) {
			text_printf(why, "%d (%s) is sampled already, by %s: see heapd list", pid, p->status.name,
				    p->image->modules[i].path);
			return -1;
		}
	}
	return 0;
}

static int
modules_check(pid_t pid, struct preflight *p, struct text *why)
{
	const char *name = p->status.name;
	size_t index = 0;

	if (sampled_check(pid, p, why) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(sanitizers) / sizeof(sanitizers[0]); i++)
		if (image_find(p->image, sanitizers[i].symbol, NULL)) {
			text_printf(
				why,
				"%d (%s) runs under %s, which brings an allocator of its own: heapd stays away from it",
				pid, name, sanitizers[i].name);
			return -1;
		}
	p->malloc = image_find(p->image, "malloc", &index);
	p->dlopen = image_find(p->image, "dlopen", NULL);
	if (!p->malloc) {
		text_printf(why, "%d (%s) has loaded nothing that defines malloc: there is nothing to sample", pid,
			    name);
		return -1;
	}
	p->malloc_path = p->image->modules[index].path;
	if (!p->dlopen) {
		text_printf(why,
			    "%d (%s) has no dlopen: its C library is older than glibc 2.34 and libdl is not loaded. "
			    "Start it "
			    "under heapd run instead",
			    pid, name);
		return -1;
	}
	return 0;
}

/* -- the library, as the process would find it -- */

static int
library_check(pid_t pid, const struct preflight *p, const char *library, struct text *why)
{
	struct stat ours, theirs;
	struct statvfs fs;
	bool exec_only_ours;
	int root, fd;

	if (stat(library, &ours) < 0) {
		text_printf(why, "%s: %s", library, strerror(errno));
		return -1;
	}
	root = openat(p->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = root < 0 ? -1 : openat(root, library + strspn(library, "/"), O_PATH | O_CLOEXEC);
	if (root >= 0)
		close(root);
	exec_only_ours =
		fd < 0 || fstat(fd, &theirs) < 0 || theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev;
	if (exec_only_ours)
		text_printf(why,
			    "%d (%s) does not see %s: its root is another; copy the library to the same path there",
			    pid, p->status.name, library);
	else if (fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_NOEXEC))
		text_printf(why, "%s is on a file system that is mounted noexec: move it", library);
	else if (p->status.effective_uid != 0 && !(theirs.st_mode & S_IROTH) &&
		 theirs.st_uid != p->status.effective_uid)
		text_printf(why, "%d (%s) may not read %s: chmod a+r it", pid, p->status.name, library);
	if (fd >= 0)
		close(fd);
	return why->size ? -1 : 0;
}

int
preflight_check(pid_t pid, const char *library, struct preflight *ret, struct text *why)
{
	struct preflight p = { .proc = -1 };

	if (proc_open(pid, &p, why) < 0 || state_check(pid, &p.status, why) < 0 || class_check(pid, &p, why) < 0 ||
	    rights_check(pid, &p, why) < 0 || kind_check(pid, &p, why) < 0 || modules_check(pid, &p, why) < 0 ||
	    seccomp_check(pid, &p, why) < 0 || library_check(pid, &p, library, why) < 0) {
		preflight_done(&p);
		return -1;
	}
	*ret = p;
	return 0;
}

void
preflight_done(struct preflight *p)
{
	image_free(p->image);
	if (p->proc >= 0)
		close(p->proc);
	*p = (struct preflight){ .proc = -1 };
}
