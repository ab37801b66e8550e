/* server.c - the one file that knows libmicrohttpd.
 *
 * A thread a connection: a request may then simply wait (seconds=), and a slow reader costs only its own thread. The
 * library's suspend and resume would lose wake-ups in this version. What it does not check itself is checked by guard.c and
 * request.c, what it does not bound in time by connections.c.
 */
#include "server.h"

#include <errno.h>
#include <malloc.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"
#include "connections.h"
#include "counters.h"
#include "gzip.h"
#include "log.h"
#include "routes.h"

#define IDLE_SECONDS 30 /* without a byte in either direction */
#define CONNECTION_MEMORY (32 << 10) /* bytes: request line and headers */
#define SWEEP_MS 500
#define KEPT_FREE (1 << 20) /* bytes of free memory that an arena keeps for the next request */
#define ARENAS 8
#define BODIES_MAX (64 << 20) /* bytes of bodies that are on their way, as announced */
#define REPLIES_MAX ((size_t)256 << 20) /* bytes of replies that wait to be read */
#define COMPRESS_LEAST 512 /* bytes; below, gzip's header eats what it saves */

struct server {
	struct MHD_Daemon *daemon;
	struct guard guard;
	struct routes routes;
	struct cache *cache;
	struct shown_all *shown_all;
	struct connections *connections;
	pthread_t keeper;
	bool keeping;
	int stop; /* eventfd: readable once the server ends */
	_Atomic uint64_t bodies; /* bytes reserved */
};

/* A request on its way through the library's callbacks. */
struct exchange {
	struct request request;
	int bad; /* of request_parse() */
	bool admitted; /* its headers were looked at, a body may follow */
	uint64_t reserved; /* of the server's bodies */
};

/* What hangs on a connection. */
struct client {
	struct connection *connection;
	struct exchange *exchange; /* the request that it is at, if any */
};

/* NULL without memory. */
static struct client *
client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *own = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return own ? own->socket_context : NULL;
}

static void
client_forget(struct server *s, struct client *c)
{
	struct exchange *x = c->exchange;

	if (x) {
		(void)atomic_fetch_sub_explicit(&s->bodies, x->reserved, memory_order_relaxed);
		request_done(&x->request);
	}
	free(x);
	c->exchange = NULL;
}

static void *
exchange_begin(void *cls, const char *uri, struct MHD_Connection *connection)
{
	struct client *c = client_of(connection);

	if (!c)
		return NULL;
	/* The library drops some requests without a word: those whose parameters do not fit into its memory. */
	client_forget(cls, c);
	c->exchange = calloc(1, sizeof(*c->exchange));
	if (c->exchange)
		c->exchange->bad = request_parse(&c->exchange->request, uri);
	return c->exchange;
}

static void
exchange_end(void *cls, struct MHD_Connection *connection, void **con_cls, enum MHD_RequestTerminationCode code)
{
	struct server *s = cls;
	struct client *c = client_of(connection);

	(void)code;
	if (c) {
		connection_idle(s->connections, c->connection);
		client_forget(s, c);
	}
	*con_cls = NULL;
}

static void
connection_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
		  enum MHD_ConnectionNotificationCode code)
{
	struct server *s = cls;
	struct client *c = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *fd =
			MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

		c = calloc(1, sizeof(*c));
		if (c && fd)
			c->connection = connection_begin(s->connections, fd->connect_fd);
		*socket_context = c;
	} else if (c) {
		client_forget(s, c);
		connection_end(s->connections, c->connection);
		free(c);
		*socket_context = NULL;
	}
}

static bool
same_header(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if ((*a | 0x20) != (*b | 0x20))
			return false;
	return *a == *b;
}

static enum MHD_Result
header_take(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct request *r = cls;

	(void)kind;
	if (!value)
		value = "";
	if (same_header(name, "Host")) {
		r->hosts++;
		r->host = value;
	} else if (same_header(name, "Content-Length")) {
		r->lengths++;
		/* Longer than the number of digits in the limit, or above it; the exact end is seen when the body comes. */
		r->length = strtoull(value, NULL, 10);
		r->body_too_large |= r->length > REQUEST_BODY_MAX;
	} else if (same_header(name, "Transfer-Encoding")) {
		r->encodings++;
	} else if (same_header(name, "Origin")) {
		r->origin = value;
	} else if (same_header(name, "Authorization")) {
		r->authorizations++;
		r->authorization = value;
	} else if (same_header(name, "Accept-Encoding")) {
		r->accepts_gzip |= request_accepts_gzip(value);
	}
	return MHD_YES;
}

static enum method
method_of(const char *method)
{
	if (strcmp(method, "GET") == 0)
		return METHOD_GET;
	if (strcmp(method, "HEAD") == 0)
		return METHOD_HEAD;
	if (strcmp(method, "POST") == 0)
		return METHOD_POST;
	return METHOD_OTHER;
}

static void
body_release(void *cls)
{
	blob_unref(cls);
}

/* The body as it goes out; packed if that was asked for and is worth it. A new reference. */
static struct blob *
reply_body(const struct request *q, const struct reply *r, bool *ret_packed)
{
	uint8_t *packed;
	size_t size;

	*ret_packed = false;
	if (!r->body || !r->compress || !q->accepts_gzip || r->body->size < COMPRESS_LEAST ||
	    gzip_pack(r->body->data, r->body->size, 1, &packed, &size) < 0)
		return blob_ref(r->body);
	*ret_packed = true;
	return blob_new((char *)packed, size);
}

static void
headers_add(struct MHD_Response *response, const struct reply *r, bool packed)
{
	struct text value = { 0 };

	(void)MHD_add_response_header(response, "Content-Type", r->type);
	(void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	if (strcmp(r->type, TYPE_HTML) == 0) {
		(void)MHD_add_response_header(
			response, "Content-Security-Policy",
			"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
		(void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
	}
	if (r->go_error)
		(void)MHD_add_response_header(response, "X-Go-Pprof", "1");
	if (r->attachment) {
		text_printf(&value, "attachment; filename=\"%s\"", r->attachment);
		(void)MHD_add_response_header(response, "Content-Disposition", text_string(&value));
	}
	if (r->allow)
		(void)MHD_add_response_header(response, "Allow", r->allow);
	if (r->location)
		(void)MHD_add_response_header(response, "Location", r->location->data);
	if (r->retry_after) {
		text_done(&value);
		text_printf(&value, "%u", r->retry_after);
		(void)MHD_add_response_header(response, "Retry-After", text_string(&value));
	}
	if (r->status == 401) {
		(void)MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"heapd\"");
		(void)MHD_add_response_header(response, "WWW-Authenticate", "Basic realm=\"heapd\"");
	}
	if (r->compress)
		(void)MHD_add_response_header(response, "Vary", "Accept-Encoding");
	if (packed)
		(void)MHD_add_response_header(response, "Content-Encoding", "gzip");
	if (r->close)
		(void)MHD_add_response_header(response, "Connection", "close");
	text_done(&value);
}

static enum MHD_Result
exchange_reply(struct server *s, struct MHD_Connection *connection, struct exchange *x, struct reply *r)
{
	struct client *client = client_of(connection);
	struct MHD_Response *response;
	struct blob *body;
	enum MHD_Result queued;
	bool packed;

	counter_add(r->status < 400   ? COUNTER_REQUESTS_OK
		    : r->status < 500 ? COUNTER_REQUESTS_REFUSED
				      : COUNTER_REQUESTS_FAILED,
		    1);
	body = reply_body(&x->request, r, &packed);
	if (client)
		connection_reply(s->connections, client->connection, body ? body->size : 0);
	response = body ? MHD_create_response_from_buffer_with_free_callback_cls(body->size, body->data, body_release,
										 body)
			: MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
	if (!response) {
		blob_unref(body);
		reply_done(r);
		return MHD_NO;
	}
	headers_add(response, r, packed);
	queued = MHD_queue_response(connection, r->status, response);
	MHD_destroy_response(response);
	reply_done(r);
	return queued;
}

/* Room for the body, which only a POST keeps. */
static bool
body_reserve(struct server *s, struct exchange *x)
{
	const struct request *q = &x->request;

	if (q->method != METHOD_POST)
		return true;
	x->reserved = q->encodings > 0 ? REQUEST_BODY_MAX : q->length;
	return atomic_fetch_add_explicit(&s->bodies, x->reserved, memory_order_relaxed) + x->reserved <= BODIES_MAX;
}

/* The headers are there. True if the request may go on, else its refusal is in *to. */
static bool
exchange_admit(struct server *s, struct MHD_Connection *connection, struct exchange *x, const char *method,
	       const char *version, struct reply *to)
{
	const union MHD_ConnectionInfo *fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct request *q = &x->request;

	q->method = method_of(method);
	q->http_1_1 = strcmp(version, "HTTP/1.1") == 0;
	(void)MHD_get_connection_values(connection, MHD_HEADER_KIND, header_take, q);
	q->peer = fd ? fd->connect_fd : -1;
	address_local(q->peer, &q->local);
	if (x->bad == -ENOMEM) {
		reply_error(to, 500, "Out of memory");
	} else if (x->bad < 0) {
		reply_error(to, 400,
			    "This is not a path that heapd could have: it wants /path?query without NUL and "
			    "broken escapes");
		to->close = true;
	} else if (!guard_admits(&s->guard, q, to)) {
		/* told */
	} else if (q->body_too_large) {
		reply_error(to, 413, "The body is larger than %d bytes", REQUEST_BODY_MAX);
		to->close = true;
	} else if (!body_reserve(s, x)) {
		reply_error(to, 503, "Too many large bodies are on their way already; try again later");
		to->retry_after = 5;
	} else {
		return true;
	}
	/* A body that nobody reads must not be taken for the next request. */
	to->close |= q->lengths > 0 || q->encodings > 0;
	return false;
}

static enum MHD_Result
exchange_answer(struct server *s, struct MHD_Connection *connection, struct exchange *x)
{
	struct client *client = client_of(connection);
	struct reply reply = { 0 };

	if (client)
		connection_work(s->connections, client->connection);
	x->request.stop = s->stop;
	/* The library would take the time spent here for silence of the client. Setting a timeout after none restarts it. */
	(void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	if (blob_bytes() > REPLIES_MAX)
		connections_relieve(s->connections);
	routes_answer(&s->routes, &x->request, &reply);
	(void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)IDLE_SECONDS);
	return exchange_reply(s, connection, x, &reply);
}

static enum MHD_Result
exchange_step(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
	      const char *upload, size_t *upload_size, void **con_cls)
{
	struct server *s = cls;
	struct exchange *x = *con_cls;
	struct reply reply = { 0 };

	(void)url; /* decoded by the library, and cut at an encoded NUL; request_parse() has seen the real one */
	if (!x)
		return MHD_NO; /* no memory when the request began */
	if (!x->admitted) {
		if (!exchange_admit(s, connection, x, method, version, &reply))
			return exchange_reply(s, connection, x, &reply);
		x->admitted = true;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		if (x->request.body.size + *upload_size > REQUEST_BODY_MAX)
			return MHD_NO;
		if (x->request.method == METHOD_POST)
			text_add_bytes(&x->request.body, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	return exchange_answer(s, connection, x);
}

/* Housekeeping: new and dead targets, late connections, old replies. */
static void *
server_keep(void *argument)
{
	struct server *s = argument;

	for (;;) {
		struct pollfd fds[] = { { .fd = s->stop, .events = POLLIN },
					{ .fd = targets_fd(s->routes.targets), .events = POLLIN } };
		struct timespec now;
		int r;

		if (poll(fds, 2, SWEEP_MS) < 0 && errno != EINTR)
			return NULL;
		if (fds[0].revents)
			return NULL;
		r = targets_poll(s->routes.targets);
		if (r < 0) {
			log_line("http: cannot look for targets, trying again in a second: %s", strerror(-r));
			(void)poll(fds, 1, 1000);
		}
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		connections_sweep(s->connections, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
		if (cache_sweep(s->cache))
			(void)malloc_trim(0); /* what building them took lies about in pieces */
	}
}

static int
server_start(struct server *s, const struct tls *tls, int *listen_fd)
{
	struct MHD_OptionItem secure[] = { { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITIES },
					   { MHD_OPTION_HTTPS_MEM_CERT, 0, tls ? tls->certificate : NULL },
					   { MHD_OPTION_HTTPS_MEM_KEY, 0, tls ? tls->key : NULL },
					   { MHD_OPTION_END, 0, NULL } };
	unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC;

	if (tls && tls->certificate) {
		if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
			return -EOPNOTSUPP;
		flags |= MHD_USE_TLS;
	} else {
		secure[0].option = MHD_OPTION_END;
	}
	/* The library would write its own complaints to stderr, which belongs to the program under `heapd run`. */
	s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, exchange_step, s, MHD_OPTION_LISTEN_SOCKET, *listen_fd,
				     MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_LEAVING,
				     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
				     MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_URI_LOG_CALLBACK, exchange_begin, s,
				     MHD_OPTION_NOTIFY_COMPLETED, exchange_end, s, MHD_OPTION_NOTIFY_CONNECTION,
				     connection_notify, s, MHD_OPTION_ARRAY, secure, MHD_OPTION_END);
	if (!s->daemon)
		return errno ? -errno : -EIO;
	*listen_fd = -1; /* the library closes it from now on */
	return 0;
}

/* The C library would keep up to 64 MiB at the end of each thread's arena after a large profile, and there may be eight times
 * as many arenas as cores. */
static void
keep_little_memory(void)
{
	(void)mallopt(M_ARENA_MAX, ARENAS);
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
	(void)mallopt(M_MMAP_THRESHOLD, KEPT_FREE);
}

int
server_new(const struct server_options *options, struct server **ret)
{
	struct server *s = calloc(1, sizeof(*s));
	int listen_fd = options->listen_fd, r = -ENOMEM;
	struct timespec now;

	if (!s)
		goto out;
	keep_little_memory();
	s->stop = -1;
	s->guard = options->guard;
	r = cache_new(&s->cache);
	if (r == 0)
		r = shown_all_new(&s->shown_all);
	if (r == 0)
		r = connections_new(&s->connections);
	if (r < 0)
		goto out;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	s->routes.targets = options->targets;
	s->routes.symbols = options->symbols;
	s->routes.cache = s->cache;
	s->routes.shown_all = s->shown_all;
	s->routes.scheme = options->tls && options->tls->certificate ? "https" : "http";
	s->routes.since_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->stop < 0) {
		r = -errno;
		goto out;
	}
	r = server_start(s, options->tls, &listen_fd);
	if (r < 0)
		goto out;
	r = -pthread_create(&s->keeper, NULL, server_keep, s);
	if (r < 0)
		goto out;
	s->keeping = true;
	*ret = s;
out:
	if (listen_fd >= 0)
		close(listen_fd);
	if (r < 0)
		server_free(s);
	return r;
}

void
server_free(struct server *s)
{
	uint64_t one = 1;

	if (!s)
		return;
	if (s->stop >= 0)
		(void)!write(s->stop, &one, sizeof(one));
	if (s->keeping)
		(void)pthread_join(s->keeper, NULL);
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	connections_free(s->connections);
	cache_free(s->cache);
	shown_all_free(s->shown_all);
	if (s->stop >= 0)
		close(s->stop);
	free(s);
}
