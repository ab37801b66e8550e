/* debugdata.c - the home of liblzma. libdwfl reads these sections as well, but unpacks whatever a few kilobytes of zeros
 * pretend to be until the memory is used up. */
#include "debugdata.h"

#include <errno.h>
#include <lzma.h>
#include <stdint.h>
#include <stdlib.h>

#define RATIO_MAX 64 /* symbol tables shrink to a fifth or so */
#define SMALL ((size_t)1 << 20) /* that much is always unpacked */
#define UNPACKED_MAX ((size_t)512 << 20)
#define MEMORY_MAX ((uint64_t)128 << 20) /* of the decoder; xz -9 asks for 65 MiB */

int
debugdata_unpack(const void *packed, size_t size, void **ret, size_t *ret_size)
{
	size_t room = size < UNPACKED_MAX / RATIO_MAX ? SMALL + size * RATIO_MAX : UNPACKED_MAX, used = 0, read = 0;
	uint64_t memory = MEMORY_MAX;
	uint8_t *unpacked = malloc(room);
	lzma_ret r;

	if (!unpacked)
		return -ENOMEM;
	r = lzma_stream_buffer_decode(&memory, 0, NULL, packed, &read, size, unpacked, &used, room);
	if (r != LZMA_OK || used == 0) {
		free(unpacked);
		return r == LZMA_MEM_ERROR ? -ENOMEM : -EINVAL;
	}
	*ret = unpacked;
	*ret_size = used;
	return 0;
}
