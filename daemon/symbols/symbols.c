/* symbols.c - frames in, names out: from the cache where it knows them, else from the worker, a module at a time.
 *
 * Locks, in the order they are taken: `working` for the worker, held for seconds if need be; `jit` for perf maps; `cached`
 * for the cache, held for moments. So a profile whose names are known never waits for another one that needs the worker.
 *
 * Who is believed. A build-id says what a file is, but a file that claims a build-id proves nothing about it: a target
 * could leave false names for the library of another. So answers are shared between targets of one user only, and what is
 * found for a dead target, whose user nobody can vouch for, is kept apart.
 */
#include "symbols.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "jit_maps.h"
#include "log.h"
#include "module_search.h"
#include "perfmap.h"
#include "symbol_cache.h"
#include "target_files.h"
#include "worker_link.h"

#define TIMEOUT_MS 5000
#define RETRY_MS 60000
/* In one call. A target that brings more bad files than that waits a minute for the others. */
#define WORKERS_LOST_MAX 4
#define FAILURES_TOLD 4 /* in one call: a target may have thousands of files that are not there */

struct symbols {
	char *program;
	char **debug_dirs;
	unsigned timeout_ms;

	pthread_mutex_t working, jit_lock, cached;
	struct worker_link *link;
	struct symbol_cache *cache;
	struct jit_maps *jit;
	_Atomic uint64_t lookups, hits, refused;
	_Atomic int64_t told_ms; /* when it was said last that names found no room; 0: never */

	pthread_rwlock_t inside; /* held for reading by who holds names; for writing to drop them all */
	uint32_t addresses_max;
	uint64_t forgotten; /* cache_refused of the caches before this one */
};

/* One call of symbols_resolve. */
struct job {
	struct symbols *s;
	const struct snapshot *snap;
	struct target_files *target; /* NULL: the process is gone */
	struct symbol *ret;
	struct place {
		uint32_t module; /* in the cache: to read and to write */
		uint32_t known; /* another one to read only, or CACHE_MODULE_NONE */
	} * places; /* one a module of the snapshot */
	struct miss {
		uint32_t module; /* of the snapshot */
		uint64_t address; /* in the ELF file */
	} * misses;
	size_t n_misses;
	unsigned workers_lost, failures;
	size_t unkept; /* names that found no room */
};

static void
free_strings(char **strings)
{
	for (char **p = strings; p && *p; p++)
		free(*p);
	free(strings);
}

static char **
copy_strings(const char *const *strings)
{
	size_t n = 0;
	char **ret;

	while (strings[n])
		n++;
	ret = calloc(n + 1, sizeof(*ret));
	for (size_t i = 0; ret && i < n; i++) {
		ret[i] = strdup(strings[i]);
		if (!ret[i]) {
			free_strings(ret);
			ret = NULL;
		}
	}
	return ret;
}

int
symbols_new(const struct symbols_options *options, struct symbols **ret)
{
	static const char *const usual[] = { "/usr/lib/debug", NULL };
	struct symbols *s = calloc(1, sizeof(*s));
	pthread_rwlockattr_t fair;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->working, NULL);
	pthread_mutex_init(&s->jit_lock, NULL);
	pthread_mutex_init(&s->cached, NULL);
	/* Otherwise a new reader would always come before the writer. */
	(void)pthread_rwlockattr_init(&fair);
	(void)pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void)pthread_rwlock_init(&s->inside, &fair);
	(void)pthread_rwlockattr_destroy(&fair);
	s->program = strdup(options && options->worker ? options->worker : "/proc/self/exe");
	s->debug_dirs = copy_strings(options && options->debug_dirs ? options->debug_dirs : usual);
	s->timeout_ms = options && options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
	s->addresses_max = options ? options->addresses_max : 0;
	s->cache = symbol_cache_new(s->addresses_max);
	s->jit = jit_maps_new();
	s->link = s->program ? worker_link_new(s->program) : NULL;
	if (!s->debug_dirs || !s->cache || !s->jit || !s->link) {
		symbols_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void
symbols_free(struct symbols *s)
{
	if (!s)
		return;
	worker_link_free(s->link);
	symbol_cache_free(s->cache);
	jit_maps_free(s->jit);
	free_strings(s->debug_dirs);
	free(s->program);
	pthread_mutex_destroy(&s->working);
	pthread_mutex_destroy(&s->jit_lock);
	pthread_mutex_destroy(&s->cached);
	pthread_rwlock_destroy(&s->inside);
	free(s);
}

static bool
is_full(struct symbols *s)
{
	bool full;

	pthread_mutex_lock(&s->cached);
	full = symbol_cache_full(s->cache);
	pthread_mutex_unlock(&s->cached);
	return full;
}

void
symbols_enter(struct symbols *s)
{
	struct symbol_cache *fresh;

	pthread_rwlock_rdlock(&s->inside);
	if (!is_full(s))
		return;
	pthread_rwlock_unlock(&s->inside);
	pthread_rwlock_wrlock(&s->inside); /* nobody holds a name now */
	fresh = is_full(s) ? symbol_cache_new(s->addresses_max) : NULL;
	if (fresh) {
		pthread_mutex_lock(&s->cached);
		s->forgotten += symbol_cache_refused(s->cache);
		symbol_cache_free(s->cache);
		s->cache = fresh;
		pthread_mutex_unlock(&s->cached);
	}
	pthread_rwlock_unlock(&s->inside);
	pthread_rwlock_rdlock(&s->inside);
}

void
symbols_leave(struct symbols *s)
{
	pthread_rwlock_unlock(&s->inside);
}

/* What makes two modules the same one: user and build-id, or, without build-id, this mapping of this life of a process. */
static size_t
module_key(const struct job *j, const struct snapshot_module *m, uint32_t uid, char *key)
{
	struct {
		uint64_t random, start_time, start;
		uint32_t pid, generation;
	} life = { j->snap->random, j->snap->start_time, m->start, j->snap->pid, m->generation };
	size_t n = 1;

	if (m->build_id_length > 0) {
		key[0] = 'b';
		memcpy(key + n, &uid, sizeof(uid));
		n += sizeof(uid);
		memcpy(key + n, m->build_id, m->build_id_length);
		return n + m->build_id_length;
	}
	key[0] = 'l';
	memcpy(key + n, &life, sizeof(life));
	n += sizeof(life);
	memcpy(key + n, m->path, strlen(m->path));
	return n + strlen(m->path);
}

static int
find_modules(struct job *j)
{
	uint32_t uid = j->target ? target_files_uid(j->target) : TARGET_UID_UNKNOWN;
	struct symbol_cache *cache = j->s->cache;

	j->places = calloc(j->snap->n_modules ? j->snap->n_modules : 1, sizeof(*j->places));
	if (!j->places)
		return -ENOMEM;
	for (size_t i = 0; i < j->snap->n_modules; i++) {
		const struct snapshot_module *m = &j->snap->modules[i];
		char *key;
		size_t n;

		j->places[i] = (struct place){ CACHE_MODULE_NONE, CACHE_MODULE_NONE };
		if (!m->present)
			continue;
		key = malloc(strlen(m->path) + 128);
		if (!key)
			return -ENOMEM;
		n = module_key(j, m, uid, key);
		j->places[i].module = symbol_cache_module(cache, key, n, m->path, true);
		if (uid == TARGET_UID_UNKNOWN && m->build_id_length > 0) {
			/* Reading what is believed of the user it says it had cannot harm anybody else. */
			n = module_key(j, m, j->snap->uid, key);
			j->places[i].known = symbol_cache_module(cache, key, n, m->path, false);
		}
		free(key);
	}
	return 0;
}

static uint64_t
elf_address(const struct snapshot_frame *f, const struct snapshot_module *m)
{
	return f->address - m->bias - (f->flags & HEAPD_FRAME_EXACT ? 0 : 1);
}

/* A name as good as there will be for now. False if the worker should be asked. */
static bool
is_known(const struct job *j, uint32_t module, uint64_t address, int64_t now, struct symbol *ret)
{
	const struct place *p = &j->places[module];
	struct symbol_cache *cache = j->s->cache;

	if (p->known != CACHE_MODULE_NONE && symbol_cache_find(cache, p->known, address, ret) &&
	    ret->state == SYMBOL_FOUND)
		return true;
	if (!symbol_cache_find(cache, p->module, address, ret))
		return false;
	return ret->state != SYMBOL_FAILED || now < symbol_cache_get(cache, p->module)->retry_ms;
}

/* Code outside of all modules that no perf map names: one name for all, since addresses of compiled code mean nothing to
 * a reader and would differ in every run. A frame that was never shown has none at all. */
static struct symbol
unknown_code(struct symbols *s, uint64_t address)
{
	const char *name = address != 0 ? "[jit]" : "[unknown]";

	return symbol_cache_named(s->cache, SYMBOL_ABSENT, name, strlen(name));
}

/* Fill in every frame in a module. With `collect`, remember those that the worker should be asked about; without, make do
 * with what there is. */
static int
fill(struct job *j, bool collect)
{
	int64_t now = wire_now_ms();
	size_t room = 0;

	for (size_t i = 0; i < j->snap->n_frames; i++) {
		const struct snapshot_frame *f = &j->snap->frames[i];
		struct symbol_cache *cache = j->s->cache;
		uint64_t address;
		uint32_t module;
		bool known;

		if (f->module == HEAPD_NONE || f->address == 0)
			continue;
		module = j->places[f->module].module;
		if (module == CACHE_MODULE_NONE) {
			j->unkept += collect;
			j->ret[i] = symbol_cache_named(cache, SYMBOL_FAILED, "[unknown]", strlen("[unknown]"));
			continue;
		}
		j->ret[i] = symbol_cache_get(cache, module)->full;
		address = elf_address(f, &j->snap->modules[f->module]);
		known = is_known(j, f->module, address, now, &j->ret[i]);
		if (known && collect)
			atomic_fetch_add_explicit(&j->s->hits, 1, memory_order_relaxed);
		if (known || !collect || symbol_cache_refuses(cache))
			continue;
		if (j->n_misses == room) {
			struct miss *misses = reallocarray(j->misses, room ? 2 * room : 256, sizeof(*misses));
			if (!misses)
				return -ENOMEM;
			j->misses = misses;
			room = room ? 2 * room : 256;
		}
		j->misses[j->n_misses++] = (struct miss){ f->module, address };
	}
	return 0;
}

static int
compare_misses(const void *left, const void *right)
{
	const struct miss *a = left, *b = right;

	if (a->module != b->module)
		return a->module < b->module ? -1 : 1;
	return a->address == b->address ? 0 : a->address < b->address ? -1 : 1;
}

/* Addresses of one module, sorted and distinct, that are still unknown; another thread may have asked meanwhile. */
static size_t
still_unknown(struct job *j, const struct miss *misses, size_t n, uint64_t *ret)
{
	int64_t now = wire_now_ms();
	struct symbol symbol;
	size_t kept = 0;

	pthread_mutex_lock(&j->s->cached);
	for (size_t i = 0; i < n; i++)
		if ((i == 0 || misses[i].address != misses[i - 1].address) &&
		    !is_known(j, misses[i].module, misses[i].address, now, &symbol))
			ret[kept++] = misses[i].address;
	pthread_mutex_unlock(&j->s->cached);
	return kept;
}

static void
keep_names(struct job *j, uint32_t module, const uint64_t *addresses, const struct worker_names *names)
{
	pthread_mutex_lock(&j->s->cached);
	for (uint32_t i = 0; i < names->n; i++) {
		const struct wire_symbol *symbol = &names->symbols[i];
		bool found = symbol->n_lines > 0;

		j->unkept += !symbol_cache_put(j->s->cache, module, addresses[i], found ? SYMBOL_FOUND : SYMBOL_ABSENT,
					       found ? names : NULL, found ? symbol : NULL);
	}
	symbol_cache_get(j->s->cache, module)->retry_ms = 0;
	pthread_mutex_unlock(&j->s->cached);
}

static const char *
reason_text(int r)
{
	switch (r) {
	case -ENOENT:
		return "there is no such file any more";
	case -ESTALE:
		return "the file was replaced by another build";
	case -EINVAL:
		return "not a regular file, or empty";
	case -EACCES:
		return "the program's user may not read the file";
	case -ENOEXEC:
		return "not a sound ELF file";
	case -ETIMEDOUT:
		return "reading it took too long";
	case -EPIPE:
		return "reading it crashed the worker";
	case -EPROTO:
		return "the worker answered nonsense";
	case -EDQUOT:
		return "too many other files of this target went wrong";
	}
	return strerror(-r);
}

static void
keep_failure(struct job *j, const struct snapshot_module *m, uint32_t module, const uint64_t *addresses, size_t n,
	     int r)
{
	struct cached_module *cached;
	bool first;

	pthread_mutex_lock(&j->s->cached);
	for (size_t i = 0; i < n; i++)
		symbol_cache_put(j->s->cache, module, addresses[i], SYMBOL_FAILED, NULL, NULL);
	cached = symbol_cache_get(j->s->cache, module);
	first = cached->retry_ms == 0;
	cached->retry_ms = wire_now_ms() + RETRY_MS;
	pthread_mutex_unlock(&j->s->cached);
	if (first && j->failures++ < FAILURES_TOLD)
		log_line("symbols: no names from %s, trying again in a minute: %s", m->path, reason_text(r));
	atomic_fetch_add_explicit(&j->s->refused, 1, memory_order_relaxed);
}

static bool
worker_is_gone(int r)
{
	return r == -ETIMEDOUT || r == -EPIPE || r == -EPROTO;
}

/* Ask about n addresses of a module. *ret_done says how many were answered, also on failure. */
static int
ask(struct job *j, uint32_t number, uint32_t flags, const uint64_t *addresses, size_t n, size_t *ret_done)
{
	uint32_t known = j->target ? target_files_uid(j->target) : TARGET_UID_UNKNOWN;
	uint32_t uid = known == TARGET_UID_UNKNOWN ? j->snap->uid : known;
	const struct module_place place = { .module = &j->snap->modules[number],
					    .target = j->target,
					    .uid = uid,
					    .debug_dirs = (const char *const *)j->s->debug_dirs };
	int64_t deadline_ms = wire_now_ms() + j->s->timeout_ms + (int64_t)(n / 10);
	int r = module_search(j->s->link, &place, flags, &deadline_ms);

	while (r == 0 && *ret_done < n) {
		size_t left = n - *ret_done;
		struct worker_names names;

		r = worker_link_names(j->s->link, addresses + *ret_done,
				      (uint32_t)(left < WIRE_ADDRESSES_MAX ? left : WIRE_ADDRESSES_MAX), deadline_ms,
				      &names);
		if (r == 0) {
			keep_names(j, j->places[number].module, addresses + *ret_done, &names);
			*ret_done += names.n;
		}
	}
	return r;
}

static bool
is_in_retreat(struct job *j, uint32_t module)
{
	int64_t retry_ms;

	pthread_mutex_lock(&j->s->cached);
	retry_ms = symbol_cache_get(j->s->cache, module)->retry_ms;
	pthread_mutex_unlock(&j->s->cached);
	return wire_now_ms() < retry_ms;
}

static void
keep_unasked(struct job *j, uint32_t module, const uint64_t *addresses, size_t n, enum symbol_state state)
{
	pthread_mutex_lock(&j->s->cached);
	for (size_t i = 0; i < n; i++)
		symbol_cache_put(j->s->cache, module, addresses[i], state, NULL, NULL);
	pthread_mutex_unlock(&j->s->cached);
}

static int
resolve_module(struct job *j, const struct miss *misses, size_t n)
{
	uint32_t number = misses[0].module, module = j->places[number].module;
	const struct snapshot_module *m = &j->snap->modules[number];
	uint64_t *addresses = calloc(n, sizeof(*addresses));
	size_t done = 0;
	int r = 0;

	if (!addresses)
		return -ENOMEM;
	n = still_unknown(j, misses, n, addresses);
	if (n == 0)
		goto out;
	if (m->path[0] == '[' || (m->path[0] == '\0' && !m->main && m->build_id_length == 0)) {
		keep_unasked(j, module, addresses, n, SYMBOL_ABSENT); /* the vdso: no file, and it does not allocate */
		goto out;
	}
	if (is_in_retreat(j, module)) {
		keep_unasked(j, module, addresses, n, SYMBOL_FAILED);
		goto out;
	}
	r = j->workers_lost < WORKERS_LOST_MAX ? ask(j, number, 0, addresses, n, &done) : -EDQUOT;
	if (worker_is_gone(r)) {
		/* Most of what can go wrong is in the DWARF; function names alone are worth another worker. */
		j->workers_lost++;
		r = ask(j, number, WIRE_WITHOUT_DWARF, addresses, n, &done);
		j->workers_lost += worker_is_gone(r);
	}
	if (r < 0)
		keep_failure(j, m, module, addresses + done, n - done, r);
	r = 0;
out:
	free(addresses);
	return r;
}

static int
resolve_misses(struct job *j)
{
	int r = 0;

	if (j->n_misses == 0)
		return 0;
	qsort(j->misses, j->n_misses, sizeof(*j->misses), compare_misses);
	pthread_mutex_lock(&j->s->working);
	for (size_t first = 0, next; first < j->n_misses && r == 0; first = next) {
		for (next = first + 1; next < j->n_misses && j->misses[next].module == j->misses[first].module;)
			next++;
		r = resolve_module(j, j->misses + first, next - first);
	}
	if (j->failures > FAILURES_TOLD)
		log_line("symbols: no names from %u more files of pid %u", j->failures - FAILURES_TOLD, j->snap->pid);
	/* A worker that has read the files of one target does not read those of another. */
	worker_link_stop(j->s->link);
	pthread_mutex_unlock(&j->s->working);
	return r;
}

/* Frames outside of all modules. */
static void
fill_jit(struct job *j)
{
	const struct perfmap *map = NULL;
	struct symbols *s = j->s;
	bool asked = false;

	pthread_mutex_lock(&s->jit_lock);
	for (size_t i = 0; i < j->snap->n_frames; i++) {
		const struct snapshot_frame *f = &j->snap->frames[i];
		const char *name = NULL;
		size_t length = 0;

		if (f->module != HEAPD_NONE && f->address != 0)
			continue;
		if (!asked && f->address != 0) {
			map = jit_maps_get(s->jit, j->snap, j->target);
			asked = true;
		}
		if (map && f->address != 0)
			name = perfmap_find(map, f->address - (f->flags & HEAPD_FRAME_EXACT ? 0 : 1), &length);
		pthread_mutex_lock(&s->cached);
		j->ret[i] = name && length > 0 ? symbol_cache_named(s->cache, SYMBOL_FOUND, name, length)
					       : unknown_code(s, f->address);
		pthread_mutex_unlock(&s->cached);
	}
	pthread_mutex_unlock(&s->jit_lock);
}

/* Once a minute: with little memory left it happens again and again. */
static void
tell_unkept(const struct job *j)
{
	int64_t now = wire_now_ms(), told = atomic_load_explicit(&j->s->told_ms, memory_order_relaxed);

	if (j->unkept == 0 || (told != 0 && now - told < RETRY_MS) ||
	    !atomic_compare_exchange_strong(&j->s->told_ms, &told, now))
		return;
	log_line("symbols: no names for %zu addresses of pid %u in this profile: no room to keep them", j->unkept,
		 j->snap->pid);
}

int
symbols_resolve(struct symbols *s, const struct snapshot *snap, uint32_t pid, struct symbol *ret)
{
	struct job j = { .s = s, .snap = snap, .ret = ret };
	int r = target_files_new(pid, snap->start_time, &j.target);

	if (r == -ENOMEM)
		goto out;
	pthread_mutex_lock(&s->cached);
	r = find_modules(&j);
	if (r == 0)
		r = fill(&j, true);
	pthread_mutex_unlock(&s->cached);
	atomic_fetch_add_explicit(&s->lookups, snap->n_frames, memory_order_relaxed);
	if (r == 0 && j.n_misses > 0) {
		r = resolve_misses(&j);
		pthread_mutex_lock(&s->cached);
		if (r == 0)
			r = fill(&j, false);
		pthread_mutex_unlock(&s->cached);
	}
	if (r == 0)
		fill_jit(&j);
	tell_unkept(&j);
out:
	target_files_free(j.target);
	free(j.places);
	free(j.misses);
	return r;
}

void
symbols_count(struct symbols *s, struct symbols_counters *ret)
{
	struct worker_link_counters worker;
	uint64_t cache_refused;

	worker_link_count(s->link, &worker);
	pthread_mutex_lock(&s->cached);
	cache_refused = s->forgotten + symbol_cache_refused(s->cache);
	pthread_mutex_unlock(&s->cached);
	*ret = (struct symbols_counters){ .lookups = atomic_load_explicit(&s->lookups, memory_order_relaxed),
					  .hits = atomic_load_explicit(&s->hits, memory_order_relaxed),
					  .worker_starts = worker.starts,
					  .worker_failures = worker.timeouts + worker.deaths + worker.nonsense,
					  .modules_refused = atomic_load_explicit(&s->refused, memory_order_relaxed),
					  .cache_refused = cache_refused };
}
