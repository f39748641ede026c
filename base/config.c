#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "num.h"

enum { VALUE_MAX = 4096, ENTRIES_MAX = 1024, SECRET_FILE_MAX = 8192 };

/* One key that was set somewhere; a later one of the same name replaces it. */
struct entry {
	char *section, *key, *value;
	bool secret;
	int order; /* of being set: the larger came later */
};
struct config {
	const struct config_section *const *sections;
	size_t section_count;
	struct entry *entries;
	size_t entry_count;
	int sets;
};

static const struct config_section *find_section(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->section_count; i++)
		if (strcmp(config->sections[i]->name, name) == 0)
			return config->sections[i];
	return NULL;
}

/* The row of `key`, or of the secret that `key` is the _file of (*ret_file says which). */
static const struct config_row *find_row(const struct config_section *section, const char *key,
                                         bool *ret_file)
{
	for (size_t i = 0; i < section->row_count; i++) {
		const struct config_row *row = &section->rows[i];
		size_t len = strlen(row->key);
		if (strncmp(key, row->key, len) != 0)
			continue;
		*ret_file = row->secret && strcmp(key + len, "_file") == 0;
		if (key[len] == '\0' || *ret_file)
			return row;
	}
	return NULL;
}

static struct entry *find_entry(const struct config *config, const char *section, const char *key)
{
	for (size_t i = 0; i < config->entry_count; i++)
		if (strcmp(config->entries[i].section, section) == 0 &&
		    strcmp(config->entries[i].key, key) == 0)
			return &config->entries[i];
	return NULL;
}

static int parse_bool(const char *text, bool *ret)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
	for (size_t i = 0; i < N_OF(words); i++)
		if (strcasecmp(text, words[i]) == 0) {
			*ret = i % 2;
			return 0;
		}
	return -1;
}

/* Checks (and with `ret` also stores) a value. */
static int convert(const struct config_section *section, const struct config_row *row,
                   const char *text, void *ret, struct err *err)
{
	int64_t number = 0;
	bool truth = false;
	if (row->type == CONFIG_I64 && num_i64(text, strlen(text), row->min, row->max, &number) < 0)
		return err_set(err, ERR_REJECT, "config",
		               "%s.%s is \"%s\"; it must be a whole number from %lld to %lld",
		               section->name, row->key, text, (long long)row->min, (long long)row->max);
	if (row->type == CONFIG_BOOL && parse_bool(text, &truth) < 0)
		return err_set(err, ERR_REJECT, "config", "%s.%s is \"%s\"; it must be true or false",
		               section->name, row->key, text);
	char *at = ret ? (char *)ret + row->offset : NULL;
	if (at && row->type == CONFIG_STR)
		memcpy(at, &text, sizeof(text));
	else if (at && row->type == CONFIG_I64)
		memcpy(at, &number, sizeof(number));
	else if (at)
		memcpy(at, &truth, sizeof(truth));
	return 0;
}

static void entry_free(struct entry *entry)
{
	if (entry->value && entry->secret)
		explicit_bzero(entry->value, strlen(entry->value));
	free(entry->section);
	free(entry->key);
	free(entry->value);
}

static int store(struct config *config, const char *section, const char *key, const char *value,
                 bool secret, struct err *err)
{
	struct entry *entry = find_entry(config, section, key);
	char *copy = strdup(value);
	if (!copy)
		return err_oom(err);
	if (entry) {
		free(entry->value);
		entry->value = copy;
		entry->order = ++config->sets;
		return 0;
	}
	if (config->entry_count == ENTRIES_MAX) {
		free(copy);
		return err_set(err, ERR_REJECT, "config", "more than %d settings", ENTRIES_MAX);
	}
	struct entry fresh = {strdup(section), strdup(key), copy, secret, ++config->sets};
	if (!fresh.section || !fresh.key) {
		entry_free(&fresh);
		return err_oom(err);
	}
	config->entries[config->entry_count++] = fresh;
	return 0;
}

/* The single way in for file, environment and command line. */
static int set(struct config *config, const char *section_name, const char *key, const char *value,
               struct err *err)
{
	const struct config_section *section = find_section(config, section_name);
	if (!section)
		return err_set(err, ERR_REJECT, "config", "unknown section [%s]", section_name);
	if (strlen(value) > VALUE_MAX)
		return err_set(err, ERR_REJECT, "config", "%s.%s is longer than %d bytes", section_name,
		               key, VALUE_MAX);
	bool file = false;
	const struct config_row *row = find_row(section, key, &file);
	if (!row && !section->open)
		return err_set(err, ERR_REJECT, "config", "unknown key %s.%s", section_name, key);
	if (row && !file && convert(section, row, value, NULL, err) < 0)
		return -1;
	/* An open section passes its keys on unread: some of them hold passwords. */
	bool secret = row ? row->secret && !file
	                  : strstr(key, "password") || strstr(key, "secret") || strstr(key, ".pem") ||
	                        strstr(key, "jaas");
	return store(config, section_name, key, value, secret, err);
}

/* ---- the three sources ---- */

/* What inih is given to read from: it counts the lines for our messages, and notices a line that
 * is longer than inih's own buffer, which inih would silently read as two. */
struct source {
	struct config *config;
	FILE *file;
	const char *path;
	int line;
	struct err first; /* the first thing that was wrong, with its place */
	int first_line;
};

static void complain(struct source *source, int line, const char *text)
{
	if (source->first.kind != ERR_NONE && source->first_line <= line)
		return;
	source->first = (struct err){0};
	source->first_line = line;
	(void)err_set(&source->first, ERR_REJECT, "config", "%s:%d: %s", source->path, line, text);
}

/* An indented line would be more of the value above it for inih; here it is a line like others. */
static void cut_indent(char *text)
{
	size_t indent = strspn(text, " \t");
	memmove(text, text + indent, strlen(text + indent) + 1);
}

static char *read_line(char *text, int size, void *stream)
{
	struct source *source = stream;
	if (!fgets(text, size, source->file))
		return NULL;
	source->line++;
	if (!strchr(text, '\n') && !feof(source->file))
		complain(source, source->line, "this line is too long");
	cut_indent(text);
	return text;
}

static int on_ini(void *user, const char *section, const char *name, const char *value)
{
	struct source *source = user;
	struct err err = {0};
	if (set(source->config, section, name, value ? value : "", &err) == 0)
		return 1;
	if (err.kind == ERR_REJECT)
		complain(source, source->line, err.text);
	else
		(void)err_set(&source->first, err.kind, err.code, "%s", err.text);
	return 1;
}

static int load_file(struct config *config, const char *path, struct err *err)
{
	struct source source = {.config = config, .path = path, .file = fopen(path, "re")};
	if (!source.file)
		return err_set(err, ERR_REJECT, "config", "cannot read %s: %s", path, strerror(errno));
	/* The stream and the user of ini_parse_stream are one and the same here. */
	int bad_line = ini_parse_stream(read_line, &source, on_ini, &source);
	if (ferror(source.file))
		(void)err_set(&source.first, ERR_REJECT, "config", "cannot read %s: %s", path,
		              strerror(errno));
	(void)fclose(source.file);
	if (bad_line < 0)
		(void)err_set(&source.first, ERR_RETRY, "ENOMEM", "out of memory");
	if (bad_line > 0) /* inih tells of it at the end, whatever else was wrong further down */
		complain(&source, bad_line, "this line is neither [section] nor key = value");
	if (source.first.kind == ERR_NONE)
		return 0;
	return err_set(err, source.first.kind, source.first.code, "%s", source.first.text);
}

/* SANDSWEEP_<SECTION>_<KEY>, asked for row by row; open keys only come from the file and -o. */
static int load_env_key(struct config *config, const struct config_section *section,
                        const char *key, const char *suffix, struct err *err)
{
	char name[128], full_key[96];
	(void)snprintf(full_key, sizeof(full_key), "%s%s", key, suffix);
	(void)snprintf(name, sizeof(name), "SANDSWEEP_%s_%s", section->name, full_key);
	for (char *p = name; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	const char *value = getenv(name);
	struct err inner = {0};
	if (!value || set(config, section->name, full_key, value, &inner) == 0)
		return 0;
	return err_set(err, inner.kind, inner.code, "environment variable %s: %s", name, inner.text);
}

static int load_env(struct config *config, struct err *err)
{
	for (size_t i = 0; i < config->section_count; i++) {
		const struct config_section *section = config->sections[i];
		for (size_t j = 0; j < section->row_count; j++) {
			const struct config_row *row = &section->rows[j];
			if (load_env_key(config, section, row->key, "", err) < 0 ||
			    (row->secret && load_env_key(config, section, row->key, "_file", err) < 0))
				return -1;
		}
	}
	return 0;
}

static int load_override(struct config *config, const char *text, struct err *err)
{
	const char *dot = strchr(text, '.'), *equals = strchr(text, '=');
	char section[64], key[128];
	if (!dot || !equals || dot > equals || (size_t)(dot - text) >= sizeof(section) ||
	    (size_t)(equals - dot) >= sizeof(key))
		/* Without what may be its value: that could be a secret. */
		return err_set(err, ERR_REJECT, "usage", "-o takes section.key=value, not \"%.*s\"",
		               (int)strcspn(text, "="), text);
	(void)snprintf(section, sizeof(section), "%.*s", (int)(dot - text), text);
	(void)snprintf(key, sizeof(key), "%.*s", (int)(equals - dot - 1), dot + 1);
	return set(config, section, key, equals + 1, err);
}

struct config *config_load(const char *path, const struct config_section *const *sections,
                           size_t section_count, const char *const *overrides,
                           size_t override_count, struct err *err)
{
	struct config *config = calloc(1, sizeof(*config));
	struct entry *entries = calloc(ENTRIES_MAX, sizeof(*entries));
	if (!config || !entries) {
		free(config);
		free(entries);
		(void)err_oom(err);
		return NULL;
	}
	config->entries = entries;
	config->sections = sections;
	config->section_count = section_count;
	int failed = (path && load_file(config, path, err) < 0) || load_env(config, err) < 0;
	for (size_t i = 0; !failed && i < override_count; i++)
		failed = load_override(config, overrides[i], err) < 0;
	if (!failed)
		return config;
	config_free(config);
	return NULL;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->entry_count; i++)
		entry_free(&config->entries[i]);
	free(config->entries);
	free(config);
}

/* ---- reading ---- */

/* Reads the file of a secret into the config, as if it had been set there. */
static int read_secret(struct config *config, const struct config_section *section,
                       const struct config_row *row, const char *name, struct err *err)
{
	char path[PATH_MAX], text[SECRET_FILE_MAX];
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	if (strchr(name, '/') || !dir)
		(void)snprintf(path, sizeof(path), "%s", name);
	else
		(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *file = fopen(path, "re");
	if (!file)
		return err_set(err, ERR_REJECT, "config", "cannot read %s, which %s.%s_file names: %s",
		               path, section->name, row->key, strerror(errno));
	size_t len = fread(text, 1, sizeof(text) - 1, file);
	int failed = ferror(file) ? errno : 0;
	(void)fclose(file);
	if (failed)
		return err_set(err, ERR_REJECT, "config", "cannot read %s, which %s.%s_file names: %s",
		               path, section->name, row->key, strerror(failed));
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	text[len] = '\0';
	int rc = set(config, section->name, row->key, text, err);
	explicit_bzero(text, sizeof(text));
	return rc;
}

/* The secret's file, when it was named after the secret itself was set (or alone). */
static const struct entry *secret_file(const struct config *config,
                                       const struct config_section *section,
                                       const struct config_row *row)
{
	char key[96];
	(void)snprintf(key, sizeof(key), "%s_file", row->key);
	const struct entry *value = find_entry(config, section->name, row->key);
	const struct entry *file = find_entry(config, section->name, key);
	return file && *file->value && (!value || value->order < file->order) ? file : NULL;
}

static int read_row(struct config *config, const struct config_section *section,
                    const struct config_row *row, void *ret, struct err *err)
{
	const struct entry *file = row->secret ? secret_file(config, section, row) : NULL;
	if (file && read_secret(config, section, row, file->value, err) < 0)
		return -1;
	const struct entry *entry = find_entry(config, section->name, row->key);
	const char *text = entry ? entry->value : row->def;
	if (!text || (!row->def && !*text))
		return err_set(err, ERR_REJECT, "config",
		               "%s.%s is not set; set it in the configuration file, by -o %s.%s=... or in "
		               "the environment",
		               section->name, row->key, section->name, row->key);
	return convert(section, row, text, ret, err);
}

int config_read(struct config *config, const struct config_section *section, void *ret,
                struct err *err)
{
	for (size_t i = 0; i < section->row_count; i++)
		if (read_row(config, section, &section->rows[i], ret, err) < 0)
			return -1;
	return 0;
}

void config_each(const struct config *config, const char *section,
                 void (*fn)(void *arg, const char *key, const char *value), void *arg)
{
	const struct config_section *table = find_section(config, section);
	for (size_t i = 0; table && i < config->entry_count; i++) {
		const struct entry *entry = &config->entries[i];
		bool file;
		if (strcmp(entry->section, section) == 0 && !find_row(table, entry->key, &file))
			fn(arg, entry->key, entry->value);
	}
}

/* ---- writing ---- */

static void write_range(FILE *out, const struct config_row *row)
{
	if (row->type == CONFIG_I64)
		(void)fprintf(out, "%lld to %lld", (long long)row->min, (long long)row->max);
	else
		(void)fputs(row->type == CONFIG_BOOL ? "true or false" : "text", out);
}

/* Help text as comment lines of at most 96 columns. */
static void write_comment(FILE *out, const char *text)
{
	size_t column = 0;
	while (*text) {
		size_t word = strcspn(text, " ");
		if (column > 0 && column + word + 1 > 96) {
			(void)fputc('\n', out);
			column = 0;
		}
		(void)fputs(column ? " " : "# ", out);
		(void)fwrite(text, 1, word, out);
		column += word + (column ? 1 : 2);
		text += word + (text[word] == ' ');
	}
	(void)fputc('\n', out);
}

void config_write_example(FILE *out, const struct config_section *const *sections,
                          size_t section_count)
{
	for (size_t i = 0; i < section_count; i++) {
		const struct config_section *section = sections[i];
		(void)fputs(i ? "\n" : "", out);
		write_comment(out, section->help);
		(void)fprintf(out, "[%s]\n", section->name);
		for (size_t j = 0; j < section->row_count; j++) {
			const struct config_row *row = &section->rows[j];
			(void)fputc('\n', out);
			write_comment(out, row->help);
			(void)fputs("# (", out);
			write_range(out, row);
			(void)fputs(row->def ? ")\n" : "; required)\n", out);
			if (row->secret)
				(void)fprintf(out, "#%s_file = a file or credential that holds it\n", row->key);
			else
				(void)fprintf(out, "#%s = %s\n", row->key, row->def ? row->def : "");
		}
	}
}

/* Manual pages begin each sentence on a line of its own. */
static void write_sentences(FILE *out, const char *text)
{
	for (const char *end; (end = strstr(text, ". ")); text = end + 2)
		(void)fprintf(out, "%.*s.\n", (int)(end - text), text);
	(void)fprintf(out, "%s\n", text);
}

void config_write_mdoc(FILE *out, const struct config_section *const *sections,
                       size_t section_count)
{
	for (size_t i = 0; i < section_count; i++) {
		const struct config_section *section = sections[i];
		(void)fprintf(out, ".Ss [%s]\n", section->name);
		write_sentences(out, section->help);
		(void)fputs(".Bl -tag -width Ds\n", out);
		for (size_t j = 0; j < section->row_count; j++) {
			const struct config_row *row = &section->rows[j];
			(void)fprintf(out, ".It Va %s\n", row->key);
			write_sentences(out, row->help);
			(void)fputs("(", out);
			write_range(out, row);
			(void)fputs(row->def ? "" : "; required", out);
			if (row->secret)
				(void)fprintf(out, "; or\n.Va %s_file )\n", row->key);
			else
				(void)fprintf(out, row->def ? "; default \"%s\")\n" : ")\n", row->def);
		}
		(void)fputs(".El\n", out);
	}
}

static void dump_entry(FILE *out, const struct entry *entry)
{
	(void)fprintf(out, "%s.%s=%s\n", entry->section, entry->key,
	              entry->secret ? "(secret)" : entry->value);
}

static void dump_section(FILE *out, const struct config *config,
                         const struct config_section *section)
{
	bool file;
	for (size_t i = 0; i < section->row_count; i++) {
		const struct config_row *row = &section->rows[i];
		const struct entry *entry = find_entry(config, section->name, row->key);
		if (entry)
			dump_entry(out, entry);
		else if (row->def)
			(void)fprintf(out, "%s.%s=%s\n", section->name, row->key,
			              row->secret ? "(secret)" : row->def);
	}
	/* What is no row's own value: open keys, and the files of secrets. */
	for (size_t i = 0; i < config->entry_count; i++) {
		const struct entry *entry = &config->entries[i];
		if (strcmp(entry->section, section->name) == 0 &&
		    (!find_row(section, entry->key, &file) || file))
			dump_entry(out, entry);
	}
}

void config_dump(const struct config *config, FILE *out)
{
	for (size_t i = 0; i < config->section_count; i++)
		dump_section(out, config, config->sections[i]);
}
