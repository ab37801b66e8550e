/* served.h - the routes of a server without the server, and targets to ask them about. */
#ifndef HEAPD_SERVED_H
#define HEAPD_SERVED_H

#include "routes.h"

/* The daemon's routes over n programs that have ended: n - 1 called "web" and one called "db". Made once. */
struct routes *served(unsigned n);

/* Answer the request and check of the answer whatever is so for every answer. Ends the request. */
void served_answer(struct routes *routes, struct request *request, unsigned expected_refusal);

#endif
