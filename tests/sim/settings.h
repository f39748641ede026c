/* How the simulated platform behaves: one table of knobs, set through the control port. What is about
 * listings, and get_404_percent, can also be set for one team. */
#ifndef SIM_SETTINGS_H
#define SIM_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"

enum { SETTINGS_TEXT_SIZE = 64 };

struct settings {
	/* time */
	int64_t finalizer_ms;    /* from the accepted DELETE until the sandbox is gone; -1: never */
	int64_t mount_linger_ms; /* mounts stay active so long after their sandbox is gone */
	int64_t latency_ms;      /* before every public answer; real time */
	int64_t cache_lag_ms;    /* a claimed sandbox is not found so long */
	int64_t hang_ms;         /* a hanging request's connection is closed after it; real time */
	/* what the platform says of a sandbox */
	bool terminating;       /* a sandbox on its way out is "terminating"; else still "running" */
	double get_404_percent; /* GET of a sandbox that lives answers 404 */
	/* listing of sandboxes */
	double list_skip_percent;  /* each row is left out with this chance */
	int64_t list_cluster_cap;  /* no more than so many, the newest, of each cluster; 0: all */
	int64_t list_count_delta;  /* added to count */
	bool list_lenient;         /* a bad limit or offset is the default, not 400 */
	bool list_has_more_at_end; /* has_more is true when the page is full and ends at the end */
	bool list_empty;           /* says that there is nothing */
	bool list_half_page;       /* gives the first half of the page only */
	int64_t list_shift;        /* every page after the first begins so many rows too late */
	char list_drop_cluster[SETTINGS_TEXT_SIZE]; /* this cluster is left out in silence; "": none */
	/* listing of volumes */
	double volume_list_skip_percent;
	bool volume_list_empty;
	/* the simulator itself */
	char claim_cluster[SETTINGS_TEXT_SIZE]; /* cluster_id of claimed sandboxes; "": none */
	bool journal;
	int64_t journal_max; /* entries */
	int64_t seed;        /* of everything that happens by percentage */
};

void settings_init(struct settings *settings);
/* Sets what the object names. -1 and *err (ERR_REJECT) for an unknown name or a bad value; nothing
 * is changed then. */
int settings_update(struct settings *settings, json_t *object, struct err *err) MUST_CHECK;
/* All of them as one object. */
void settings_write(const struct settings *settings, struct buf *out);

#endif
