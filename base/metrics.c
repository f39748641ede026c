#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Upper bounds in seconds, and as Prometheus reads them: written down once, so that the text never
 * depends on how a double prints. */
static const struct bound {
	double seconds;
	const char *text;
} bounds[] = {
    {0.0001, "0.0001"}, {0.00025, "0.00025"}, {0.0005, "0.0005"}, {0.001, "0.001"},
    {0.0025, "0.0025"}, {0.005, "0.005"},     {0.01, "0.01"},     {0.025, "0.025"},
    {0.05, "0.05"},     {0.1, "0.1"},         {0.25, "0.25"},     {0.5, "0.5"},
    {1, "1"},           {2.5, "2.5"},         {5, "5"},           {10, "10"},
    {25, "25"},         {50, "50"},           {100, "100"},       {250, "250"},
    {500, "500"},
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_GAUGE_FN, METRIC_HISTOGRAM };

struct metric {
	enum metric_kind kind;
	const char *name, *labels, *help;
	double value; /* a histogram's sum */
	double (*fn)(void *arg);
	void *arg;
	int64_t count;
	int64_t buckets[N_OF(bounds) + 1]; /* not cumulative; the last one is for "+Inf" */
};

struct metrics {
	struct metric *series[METRICS_MAX];
	size_t count;
	struct metric sink;
};

struct metrics *metrics_new(struct err *err)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	if (!metrics)
		(void)err_oom(err);
	return metrics;
}

void metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return;
	for (size_t i = 0; i < metrics->count; i++)
		free(metrics->series[i]);
	free(metrics);
}

static struct metric *add(struct metrics *metrics, enum metric_kind kind, const char *name,
                          const char *labels, const char *help)
{
	struct metric *metric = metrics->count < METRICS_MAX ? calloc(1, sizeof(*metric)) : NULL;
	if (!metric)
		return &metrics->sink;
	metric->kind = kind;
	metric->name = name;
	metric->labels = labels && *labels ? labels : NULL;
	metric->help = help;
	metrics->series[metrics->count++] = metric;
	return metric;
}

struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *labels,
                               const char *help)
{
	return add(metrics, METRIC_COUNTER, name, labels, help);
}

struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *labels,
                             const char *help)
{
	return add(metrics, METRIC_GAUGE, name, labels, help);
}

struct metric *metrics_gauge_fn(struct metrics *metrics, const char *name, const char *labels,
                                const char *help, double (*fn)(void *arg), void *arg)
{
	struct metric *metric = add(metrics, METRIC_GAUGE_FN, name, labels, help);
	metric->fn = fn;
	metric->arg = arg;
	return metric;
}

struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *labels,
                                 const char *help)
{
	return add(metrics, METRIC_HISTOGRAM, name, labels, help);
}

void metric_add(struct metric *metric, double value)
{
	/* A counter that goes down reads as a restart, and every rate over it is wrong. */
	if (metric->kind == METRIC_COUNTER && !(value >= 0))
		return;
	metric->value += value;
}

void metric_set(struct metric *metric, double value)
{
	metric->value = value;
}

void metric_observe(struct metric *metric, double seconds)
{
	if (isnan(seconds))
		return; /* it would make the sum NaN for ever */
	size_t i = 0;
	while (i < N_OF(bounds) && seconds > bounds[i].seconds)
		i++;
	metric->buckets[i]++;
	metric->count++;
	metric->value += seconds;
}

double metric_value(const struct metric *metric)
{
	if (metric->kind == METRIC_HISTOGRAM)
		return (double)metric->count;
	return metric->kind == METRIC_GAUGE_FN && metric->fn ? metric->fn(metric->arg) : metric->value;
}

/* ---- the text format ---- */

static void write_double(struct buf *out, double value)
{
	if (isnan(value)) {
		(void)buf_str(out, "NaN");
	} else if (isinf(value)) {
		(void)buf_str(out, value > 0 ? "+Inf" : "-Inf");
	} else if (fabs(value) < 9007199254740992.0 && value == (double)(int64_t)value) {
		(void)buf_i64(out, (int64_t)value);
	} else {
		/* 15 digits when they say it all, 17 always do. */
		char text[40];
		(void)snprintf(text, sizeof(text), "%.15g", value);
		if (strtod(text, NULL) != value)
			(void)snprintf(text, sizeof(text), "%.17g", value);
		(void)buf_str(out, text);
	}
}

static void write_help(struct buf *out, const char *help)
{
	for (; *help; help++) {
		if (*help == '\\')
			(void)buf_str(out, "\\\\");
		else if (*help == '\n')
			(void)buf_str(out, "\\n");
		else
			(void)buf_char(out, *help);
	}
}

static void write_head(struct buf *out, const struct metric *metric)
{
	static const char *const types[] = {[METRIC_COUNTER] = "counter",
	                                    [METRIC_GAUGE] = "gauge",
	                                    [METRIC_GAUGE_FN] = "gauge",
	                                    [METRIC_HISTOGRAM] = "histogram"};
	(void)buf_printf(out, "# HELP %s ", metric->name);
	write_help(out, metric->help ? metric->help : "");
	(void)buf_printf(out, "\n# TYPE %s %s\n", metric->name, types[metric->kind]);
}

/* `name``suffix`{labels,le="..."} and the space behind it. */
static void write_name(struct buf *out, const struct metric *metric, const char *suffix,
                       const char *le)
{
	(void)buf_str(out, metric->name);
	(void)buf_str(out, suffix);
	if (metric->labels || le) {
		(void)buf_char(out, '{');
		if (metric->labels)
			(void)buf_str(out, metric->labels);
		if (le)
			(void)buf_printf(out, "%sle=\"%s\"", metric->labels ? "," : "", le);
		(void)buf_char(out, '}');
	}
	(void)buf_char(out, ' ');
}

static void write_count(struct buf *out, const struct metric *metric, const char *suffix,
                        const char *le, int64_t count)
{
	write_name(out, metric, suffix, le);
	(void)buf_i64(out, count);
	(void)buf_char(out, '\n');
}

static void write_histogram(struct buf *out, const struct metric *metric)
{
	int64_t so_far = 0;
	for (size_t i = 0; i < N_OF(bounds); i++) {
		so_far += metric->buckets[i];
		write_count(out, metric, "_bucket", bounds[i].text, so_far);
	}
	write_count(out, metric, "_bucket", "+Inf", metric->count);
	write_name(out, metric, "_sum", NULL);
	write_double(out, metric->value);
	(void)buf_char(out, '\n');
	write_count(out, metric, "_count", NULL, metric->count);
}

void metrics_write(const struct metrics *metrics, struct buf *out)
{
	const char *last_name = "";
	for (size_t i = 0; i < metrics->count; i++) {
		const struct metric *metric = metrics->series[i];
		if (strcmp(metric->name, last_name) != 0)
			write_head(out, metric);
		last_name = metric->name;
		if (metric->kind == METRIC_HISTOGRAM) {
			write_histogram(out, metric);
			continue;
		}
		write_name(out, metric, "", NULL);
		write_double(out, metric_value(metric));
		(void)buf_char(out, '\n');
	}
}
