/* describe.h - targets and rankings as JSON; /api/v1 and the --json of the command line say the same. */
#ifndef HEAPD_DESCRIBE_H
#define HEAPD_DESCRIBE_H

#include "json.h"
#include "moment.h"
#include "ranking.h"

/* One object: identity, period, totals with standard errors, losses. `s` NULL: it could not be read, because of why. */
void describe_target(struct json *j, const struct target *t, const struct snapshot *s, const char *why);

/* One object: the profile's totals and at most n rows. */
void describe_ranking(struct json *j, const struct profile *p, const struct ranking *r, enum profile_value sort,
		      size_t n);

#endif
