/* query.c - query parameters: the first byte chooses a path that takes some, the rest is what stands behind its '?', or the
 * body of a POST to symbol. One program is served.
 */
#include <errno.h>

#include "fuzz.h"
#include "served.h"

static const char *const paths[] = {
	"/debug/pprof/heap?",
	"/debug/pprof/allocs?",
	"/debug/pprof/symbol?",
	"/pprof/symbol?",
	"/pprof/heap?",
	"/raw/pprof/growth?",
	"/targets/db/debug/pprof/heap?",
	"/services/db/debug/pprof/heap?",
	"/api/v1/targets/db/top?",
	"/api/v1/services/db/top?",
	"/api/v1/targets?",
	"/metrics?",
};

enum { PATHS = sizeof(paths) / sizeof(paths[0]) };

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = { bytes, size };
	unsigned choice = (unsigned)input_number(&in, 1);
	char *rest = input_string(&in, in.left);
	struct request q = { .method = METHOD_GET };
	struct text uri = { 0 };
	int r;

	text_add(&uri, paths[choice % PATHS]);
	if (choice / PATHS == 1) {
		q.method = METHOD_POST;
		text_add_bytes(&q.body, bytes + 1, size > 0 ? size - 1 : 0);
	} else {
		text_add(&uri, rest);
	}
	r = request_parse(&q, text_string(&uri));
	MUST(r == 0 || r == -EINVAL);
	if (r == 0)
		served_answer(served(1), &q, 0);
	else
		request_done(&q);
	text_done(&uri);
	free(rest);
	return 0;
}
