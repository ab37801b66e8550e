/* gzip.c - see gzip.h. libdeflate writes no time stamp, which makes its output a function of the input. */
#include "gzip.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>

int
gzip_pack(const void *bytes, size_t size, int level, uint8_t **ret, size_t *ret_size)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
	size_t bound, packed;
	uint8_t *out = NULL, *fitted;
	int r = -ENOMEM;

	if (!c)
		goto out;
	bound = libdeflate_gzip_compress_bound(c, size);
	out = malloc(bound);
	if (!out)
		goto out;
	packed = libdeflate_gzip_compress(c, bytes, size, out, bound);
	if (packed == 0) /* cannot happen with that bound */
		goto out;
	fitted = realloc(out, packed);
	*ret = fitted ? fitted : out;
	*ret_size = packed;
	out = NULL;
	r = 0;
out:
	free(out);
	libdeflate_free_compressor(c);
	return r;
}

int
gzip_unpack(const void *bytes, size_t size, size_t max, uint8_t **ret, size_t *ret_size)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	enum libdeflate_result result;
	size_t room = size * 4 + 1024, length;
	uint8_t *out = NULL;
	int r = -ENOMEM;

	if (!d)
		goto out;
	for (;;) {
		if (room > max)
			room = max;
		free(out);
		out = malloc(room ? room : 1);
		if (!out)
			goto out;
		result = libdeflate_gzip_decompress(d, bytes, size, out, room, &length);
		if (result != LIBDEFLATE_INSUFFICIENT_SPACE || room == max)
			break;
		room *= 4;
	}
	r = result == LIBDEFLATE_SUCCESS ? 0 : result == LIBDEFLATE_INSUFFICIENT_SPACE ? -EFBIG : -EPROTO;
	if (r == 0) {
		*ret = out;
		*ret_size = length;
		out = NULL;
	}
out:
	free(out);
	libdeflate_free_decompressor(d);
	return r;
}
