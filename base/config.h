/* Configuration: one table per section, kept beside the code that uses it. Parsing, `--help`,
 * the example file, the man page's option list and the start-up dump all come from those rows.
 *
 * Where a value comes from, later wins: the row's default, the file (INI, [section] key = value),
 * the environment (SANDSWEEP_<SECTION>_<KEY>), the command line (-o section.key=value).
 * A row marked secret also answers to <key>_file: the name of a file that holds the value;
 * a name without '/' is looked for in $CREDENTIALS_DIRECTORY (systemd's LoadCredential). */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"

enum config_type {
	CONFIG_STR,  /* const char *, owned by the config; never NULL ("" when unset) */
	CONFIG_I64,  /* int64_t, decimal, min <= value <= max */
	CONFIG_BOOL, /* bool: true, false, yes, no, on, off, 1, 0 */
};
struct config_row {
	const char *key; /* carries its unit: _ms, _bytes */
	enum config_type type;
	size_t offset; /* in the section's struct */
	int64_t min, max;
	const char *def;  /* NULL: the value is required by whoever reads the section */
	bool secret;      /* never printed */
	const char *help; /* one or two sentences */
};
struct config_section {
	const char *name;
	const char *help;
	const struct config_row *rows;
	size_t row_count;
	bool open; /* unknown keys are kept for config_each() instead of being refused */
};

struct config;

/* Reads `path` (NULL: no file), the environment and `overrides` ("section.key=value"), and checks
 * every key of every section. The caller frees it with config_free().
 * NULL and *err (ERR_REJECT): code "config", file, line, and what is wrong with it; code "usage" for
 * an override that is no section.key=value. */
struct config *config_load(const char *path, const struct config_section *const *sections,
                           size_t section_count, const char *const *overrides,
                           size_t override_count, struct err *err) MUST_CHECK;
void config_free(struct config *config);

/* Fills the section's struct. Texts stay owned by `config`. -1 and *err (ERR_REJECT) when a
 * required value is missing or a secret's file cannot be read. */
int config_read(struct config *config, const struct config_section *section, void *ret,
                struct err *err) MUST_CHECK;

/* Calls fn for every key of an open section that is none of its rows, in the order of setting. */
void config_each(const struct config *config, const char *section,
                 void (*fn)(void *arg, const char *key, const char *value), void *arg);

/* The whole table as a commented example file. */
void config_write_example(FILE *out, const struct config_section *const *sections,
                          size_t section_count);
/* The whole table as mdoc list items for the man page. */
void config_write_mdoc(FILE *out, const struct config_section *const *sections,
                       size_t section_count);
/* Every value that is in force, one "section.key=value" a line; secrets as "(secret)". */
void config_dump(const struct config *config, FILE *out);

#endif
