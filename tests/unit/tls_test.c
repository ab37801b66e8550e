/* tls_test.c - HTTPS with a certificate made here: what is refused, and a server behind it. */
#include "tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "server.h"
#include "shm_dir.h"
#include "test.h"

/* -- files -- */

static const char *
file_put(const char *name, const void *bytes, size_t size)
{
	static char paths[4][128];
	static unsigned n;
	char *path = paths[n++ % 4];
	int fd;

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", shm_dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK_EQ(size, write(fd, bytes, size));
	close(fd);
	return path;
}

/* A key and a certificate for it, in PEM. */
struct pair {
	gnutls_datum_t key, certificate;
};

static struct pair
pair_new(void)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t certificate;
	struct pair p;
	time_t now = time(NULL);

	CHECK_EQ(0, gnutls_x509_privkey_init(&key));
	CHECK_EQ(0, gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
						 0));
	CHECK_EQ(0, gnutls_x509_crt_init(&certificate));
	CHECK_EQ(0, gnutls_x509_crt_set_version(certificate, 3));
	CHECK_EQ(0, gnutls_x509_crt_set_serial(certificate, "\1", 1));
	CHECK_EQ(0, gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, "localhost", 9));
	CHECK_EQ(0, gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, "localhost", 9, 0));
	CHECK_EQ(0, gnutls_x509_crt_set_activation_time(certificate, now - 60));
	CHECK_EQ(0, gnutls_x509_crt_set_expiration_time(certificate, now + 3600));
	CHECK_EQ(0, gnutls_x509_crt_set_key(certificate, key));
	CHECK_EQ(0, gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0));
	CHECK_EQ(0, gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &p.key));
	CHECK_EQ(0, gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &p.certificate));
	gnutls_x509_crt_deinit(certificate);
	gnutls_x509_privkey_deinit(key);
	return p;
}

static void
pair_done(struct pair *p)
{
	gnutls_free(p->key.data);
	gnutls_free(p->certificate.data);
}

static int
read_pair(const gnutls_datum_t *certificate, const gnutls_datum_t *key, struct tls *ret, struct text *why)
{
	text_done(why);
	return tls_read(file_put("cert.pem", certificate->data, certificate->size),
			file_put("key.pem", key->data, key->size), ret, why);
}

TEST(a_certificate_cut_or_changed_anywhere_is_refused_in_a_sentence_or_still_fits)
{
	struct pair p = pair_new(), other = pair_new();
	struct text why = { 0 };
	struct tls t = { 0 };
	unsigned fit = 0;

	CHECK_EQ(0, read_pair(&p.certificate, &p.key, &t, &why));
	CHECK_STR("", text_string(&why));
	CHECK(t.certificate && t.key);
	tls_done(&t);
	CHECK_EQ(-EINVAL, read_pair(&p.certificate, &other.key, &t, &why));
	CHECK(strstr(text_string(&why), "not the key of the certificate") != NULL);
	for (unsigned n = 0; n < p.certificate.size; n += 5) {
		gnutls_datum_t cut = { p.certificate.data, n }, cut_key = { p.key.data, n < p.key.size ? n : 0 };
		unsigned char was = p.certificate.data[n];

		if (read_pair(&cut, &p.key, &t, &why) == 0) /* the last line ends early */
			tls_done(&t);
		else
			CHECK(text_string(&why)[0] == '-' && !t.key);
		if (read_pair(&p.certificate, &cut_key, &t, &why) == 0)
			tls_done(&t);
		else
			CHECK(text_string(&why)[0] == '-' && !t.key);
		p.certificate.data[n] = was == 'A' ? 'B' : 'A';
		if (read_pair(&p.certificate, &p.key, &t, &why) == 0) {
			tls_done(&t); /* a letter of the signature, which clients check */
			fit++;
		} else {
			CHECK(text_string(&why)[0] == '-' && !t.key);
		}
		p.certificate.data[n] = was;
	}
	CHECK(fit < p.certificate.size / 5);
	text_done(&why);
	pair_done(&p);
	pair_done(&other);
}

/* -- a server -- */

static struct address address;

/* What the server answers over a connection of its own; or why there was no handshake. */
static ssize_t
ask(const gnutls_datum_t *authority, const char *request, char *answer, size_t size)
{
	gnutls_certificate_credentials_t trust;
	gnutls_session_t session;
	ssize_t n = 0, part;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	CHECK_EQ(0, connect(fd, &address.socket.any, address.size));
	CHECK_EQ(0, gnutls_certificate_allocate_credentials(&trust));
	CHECK_EQ(1, gnutls_certificate_set_x509_trust_mem(trust, authority, GNUTLS_X509_FMT_PEM));
	CHECK_EQ(0, gnutls_init(&session, GNUTLS_CLIENT));
	CHECK_EQ(0, gnutls_set_default_priority(session));
	CHECK_EQ(0, gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, trust));
	CHECK_EQ(0, gnutls_server_name_set(session, GNUTLS_NAME_DNS, "localhost", 9));
	gnutls_session_set_verify_cert(session, "localhost", 0);
	gnutls_transport_set_int(session, fd);
	do
		r = gnutls_handshake(session);
	while (r < 0 && !gnutls_error_is_fatal(r));
	if (r == 0 && gnutls_record_send(session, request, strlen(request)) > 0)
		while ((part = gnutls_record_recv(session, answer + n, size - 1 - (size_t)n)) > 0)
			n += part;
	answer[n] = '\0';
	gnutls_deinit(session);
	gnutls_certificate_free_credentials(trust);
	close(fd);
	return r < 0 ? r : n;
}

#define REQUEST(path) \
	"GET " path   \
	" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer 0123456789abcdef\r\nConnection: close\r\n\r\n"

struct crowd {
	const struct pair *pair;
	pthread_t thread;
	unsigned answered;
};

static void *
crowd_ask(void *argument)
{
	struct crowd *c = argument;
	char answer[1 << 16];

	for (int i = 0; i < 10; i++)
		c->answered += ask(&c->pair->certificate, REQUEST("/metrics"), answer, sizeof(answer)) > 1000 &&
			       strncmp(answer, "HTTP/1.1 200", 12) == 0;
	return NULL;
}

TEST(a_server_speaks_tls_to_who_trusts_it_and_survives_who_does_not)
{
	const char *const dirs[] = { shm_dir, NULL };
	const struct symbols_options names = { .worker = "/nonexistent" };
	struct pair p = pair_new(), other = pair_new();
	struct server_options options = { 0 };
	struct crowd crowd[4];
	struct targets *targets;
	struct symbols *symbols;
	struct server *server;
	struct text why = { 0 };
	struct tls t = { 0 };
	char answer[4096];

	(void)signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(0, read_pair(&p.certificate, &p.key, &t, &why));
	CHECK_EQ(0, address_parse("127.0.0.1:0", &address));
	options.listen_fd = address_listen(&address);
	CHECK_EQ(0, targets_new(dirs, &targets));
	CHECK_EQ(0, symbols_new(&names, &symbols));
	options.guard.listen = address;
	options.guard.token = "0123456789abcdef";
	options.tls = &t;
	options.targets = targets;
	options.symbols = symbols;
	CHECK_EQ(0, server_new(&options, &server));

	CHECK(ask(&p.certificate, REQUEST("/healthz"), answer, sizeof(answer)) > 0);
	CHECK(strncmp(answer, "HTTP/1.1 200", 12) == 0 && strstr(answer, "\r\n\r\nok\n"));
	CHECK(ask(&other.certificate, REQUEST("/healthz"), answer, sizeof(answer)) < 0);
	CHECK(ask(&p.certificate, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", answer,
		  sizeof(answer)) > 0);
	CHECK(strncmp(answer, "HTTP/1.1 401", 12) == 0);

	/* Many at once, beside some that send no TLS at all, or some of it. */
	for (size_t i = 0; i < 4; i++) {
		crowd[i] = (struct crowd){ .pair = &p };
		CHECK_EQ(0, pthread_create(&crowd[i].thread, NULL, crowd_ask, &crowd[i]));
	}
	for (size_t i = 0; i < 60; i++) {
		static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a greeting that breaks off";
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		CHECK_EQ(0, connect(fd, &address.socket.any, address.size));
		(void)send(fd, i % 2 ? hello : REQUEST("/healthz"), i % sizeof(hello), MSG_NOSIGNAL);
		close(fd);
	}
	for (size_t i = 0; i < 4; i++) {
		CHECK_EQ(0, pthread_join(crowd[i].thread, NULL));
		CHECK_EQ(10, crowd[i].answered);
	}
	server_free(server);
	symbols_free(symbols);
	targets_free(targets);
	tls_done(&t);
	text_done(&why);
	pair_done(&p);
	pair_done(&other);
}
