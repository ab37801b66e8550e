/* tls.c - see tls.h. */
#include "tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "text_file.h"

#define PEM_MAX (1 << 20) /* bytes */

/* Checked before it is used, so no gnutls_datum_t is longer than its type can tell. */
static gnutls_datum_t
datum_of(char *pem)
{
	return (gnutls_datum_t){ (unsigned char *)pem, (unsigned)strlen(pem) };
}

static int
pem_read(const char *option, const char *path, bool secret, char **ret, struct text *why)
{
	int r = text_file_read(path, secret, PEM_MAX, ret);

	if (r == -EPERM)
		text_printf(why, "--%s %s: others than its owner can read it; chmod 600 it first", option, path);
	else if (r < 0)
		text_printf(why, "--%s %s: %s", option, path, r == -EINVAL ? "not a text in PEM form" : strerror(-r));
	return r;
}

/* Is there a certificate, and is it valid now? */
static int
certificate_check(const char *path, const gnutls_datum_t *pem, struct text *why)
{
	gnutls_x509_crt_t *chain = NULL;
	unsigned n = 0;
	time_t now = time(NULL);
	int r = gnutls_x509_crt_list_import2(&chain, &n, pem, GNUTLS_X509_FMT_PEM, 0);

	if (r < 0) {
		text_printf(why, "--tls-cert %s: no certificate in PEM form: %s", path, gnutls_strerror(r));
		return -EINVAL;
	}
	if (gnutls_x509_crt_get_expiration_time(chain[0]) < now)
		text_printf(why, "--tls-cert %s: this certificate has expired, clients will refuse it", path);
	else if (gnutls_x509_crt_get_activation_time(chain[0]) > now)
		text_printf(why, "--tls-cert %s: this certificate is not valid yet, clients will refuse it", path);
	for (unsigned i = 0; i < n; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	return 0;
}

static int
key_check(const char *path, const gnutls_datum_t *pem, struct text *why)
{
	gnutls_x509_privkey_t key = NULL;
	int r = gnutls_x509_privkey_init(&key);

	if (r == 0)
		r = gnutls_x509_privkey_import2(key, pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	gnutls_x509_privkey_deinit(key);
	if (r == 0)
		return 0;
	text_done(why);
	if (r == GNUTLS_E_DECRYPTION_FAILED)
		text_printf(why,
			    "--tls-key %s: the key is encrypted, and nobody is there to give its password; take "
			    "it off with: openssl pkey -in FILE",
			    path);
	else
		text_printf(why, "--tls-key %s: no private key in PEM form: %s", path, gnutls_strerror(r));
	return -EINVAL;
}

static int
pair_check(const char *certificate_path, const gnutls_datum_t *certificate, const char *key_path,
	   const gnutls_datum_t *key, struct text *why)
{
	gnutls_certificate_credentials_t both = NULL;
	int r = gnutls_certificate_allocate_credentials(&both);

	if (r == 0)
		r = gnutls_certificate_set_x509_key_mem(both, certificate, key, GNUTLS_X509_FMT_PEM);
	if (both)
		gnutls_certificate_free_credentials(both);
	if (r >= 0)
		return 0;
	text_done(why);
	if (r == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		text_printf(why, "--tls-key %s: this is not the key of the certificate in %s", key_path,
			    certificate_path);
	else
		text_printf(why, "--tls-cert %s: %s", certificate_path, gnutls_strerror(r));
	return -EINVAL;
}

int
tls_read(const char *certificate_path, const char *key_path, struct tls *ret, struct text *why)
{
	struct tls t = { 0 };
	gnutls_datum_t certificate, key;
	int r = pem_read("tls-cert", certificate_path, false, &t.certificate, why);

	if (r == 0)
		r = pem_read("tls-key", key_path, true, &t.key, why);
	if (r < 0)
		goto out;
	certificate = datum_of(t.certificate);
	key = datum_of(t.key);
	r = certificate_check(certificate_path, &certificate, why);
	if (r == 0)
		r = key_check(key_path, &key, why);
	if (r == 0)
		r = pair_check(certificate_path, &certificate, key_path, &key, why);
out:
	if (r < 0)
		tls_done(&t);
	else
		*ret = t;
	return r;
}

void
tls_done(struct tls *t)
{
	free(t->certificate);
	if (t->key)
		explicit_bzero(t->key, strlen(t->key));
	free(t->key);
	*t = (struct tls){ 0 };
}
