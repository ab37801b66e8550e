/* tls.h - the certificate and the key that HTTPS is served with.
 *
 * The one file that knows GnuTLS, which does the work inside of libmicrohttpd: what that would only refuse is explained here.
 * Threads: any.
 */
#ifndef HEAPD_TLS_H
#define HEAPD_TLS_H

#include "text.h"

struct tls { /* all zero: plain HTTP */
	char *certificate, *key; /* PEM, as libmicrohttpd takes it; owned */
};

/* Which protocols are spoken, in GnuTLS's words: TLS 1.2 and 1.3. */
#define TLS_PRIORITIES "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* Read both files and see that they belong together. The certificate may be followed by those that vouch for it. The key
 * is a secret as text_file_read() understands it. Returns 0; *why is "" or a warning: the certificate is not valid now.
 * Or -errno with a sentence that names the option and says what to do. */
int tls_read(const char *certificate_path, const char *key_path, struct tls *ret, struct text *why);
void tls_done(struct tls *t);

#endif
