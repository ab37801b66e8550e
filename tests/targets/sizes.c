/* sizes - one site for every size from 16 B to 64 MiB; each allocates about as many bytes as the others.
 *
 *   sizes [BYTES_A_SITE [SMALLEST [LARGEST [MOST_BLOCKS]]]]
 *
 * Each second block is freed at once, so half of all is in use at the end. Sites outside the limits stay at zero. A site
 * whose blocks are too many (MOST_BLOCKS) makes no more than that.
 */
#include "truth.h"

#define EACH_SIZE(X)          \
	X(size_16, 16)        \
	X(size_48, 48)        \
	X(size_100, 100)      \
	X(size_256, 256)      \
	X(size_1000, 1000)    \
	X(size_4k, 4096)      \
	X(size_16k, 16384)    \
	X(size_64k, 65536)    \
	X(size_256k, 262144)  \
	X(size_1m, 1048576)   \
	X(size_4m, 4194304)   \
	X(size_16m, 16777216) \
	X(size_64m, 67108864)

#define DEFINE(name, size_) SITE_FUNCTION(name, malloc(size))
EACH_SIZE(DEFINE)

static const struct {
	struct truth_site *site;
	void *(*make)(size_t size);
	size_t size;
} sizes[] = {
#define ROW(name, size) { &site_##name, name, size },
	EACH_SIZE(ROW)
};

int
main(int argc, char **argv)
{
	uint64_t values[] = { 1 << 20, 16, 1 << 26, UINT64_MAX };

	truth_begin(argc, argv, values, 4);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint64_t n = values[0] / sizes[i].size;

		if (sizes[i].size < values[1] || sizes[i].size > values[2])
			continue;
		if (n < 2)
			n = 2;
		if (n > values[3])
			n = values[3];
		for (uint64_t k = 0; k < n; k++) {
			truth_keep(sizes[i].site, sizes[i].make(sizes[i].size), sizes[i].size);
			if (k % 2)
				truth_free_kept(sizes[i].site);
		}
	}
	truth_end();
	return 0;
}
