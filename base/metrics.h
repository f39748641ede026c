/* Counters, gauges and histograms in the Prometheus text format 0.0.4.
 * A registry belongs to one loop; updating a metric is one addition, writing them all is linear
 * in their number. Label sets are fixed at registration: nothing that a request brings can grow
 * a registry (at most METRICS_MAX series). */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

#include "buf.h"
#include "err.h"

enum { METRICS_MAX = 512 };

struct metrics;
struct metric;

struct metrics *metrics_new(struct err *err) MUST_CHECK;
void metrics_free(struct metrics *metrics);

/* Registers one series. `name`, `help` and `labels` (`team="x",code="y"` or NULL) are borrowed
 * for the registry's life; series of one name must be registered one after the other.
 * Never NULL: past METRICS_MAX (a bug) or without memory a sink that counts into nothing. */
struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *labels,
                               const char *help);
struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *labels,
                             const char *help);
/* A gauge whose value is asked for when it is written. */
struct metric *metrics_gauge_fn(struct metrics *metrics, const char *name, const char *labels,
                                const char *help, double (*fn)(void *arg), void *arg);
/* Seconds, in buckets of 1, 2.5, 5 per decade from 0.1 ms to 500 s. */
struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *labels,
                                 const char *help);

void metric_add(struct metric *metric, double value);       /* counter, gauge */
void metric_set(struct metric *metric, double value);       /* gauge */
void metric_observe(struct metric *metric, double seconds); /* histogram */
double metric_value(const struct metric *metric); /* counter, gauge; a histogram's count */

/* Appends all series. The buffer's `failed` says whether it fitted. */
void metrics_write(const struct metrics *metrics, struct buf *out);

#endif
