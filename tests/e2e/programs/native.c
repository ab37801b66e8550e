/* native.c - the C side of Native.java; JNI's types by hand, since a JRE has no header for them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int64_t Java_Native_keep(void *env, void *class, int32_t size);
void Java_Native_giveBack(void *env, void *class, int32_t size);

static void *volatile seen;

__attribute__((noinline)) static void *
keep_in_jni(size_t size)
{
	return seen = memset(malloc(size), 'x', size);
}

__attribute__((noinline)) static void
give_back_in_jni(size_t size)
{
	void *block = malloc(size);

	seen = block;
	free(block);
}

int64_t
Java_Native_keep(void *env, void *class, int32_t size)
{
	(void)env;
	(void)class;
	return (int64_t)(intptr_t)keep_in_jni((size_t)size);
}

void
Java_Native_giveBack(void *env, void *class, int32_t size)
{
	(void)env;
	(void)class;
	give_back_in_jni((size_t)size);
}
