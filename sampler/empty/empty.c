/* empty.c - the library for 32-bit programs: nothing, for their loader to load in silence. */
typedef int empty;
