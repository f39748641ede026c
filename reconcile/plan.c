#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/num.h"

/*     {"format":"sandsweep-plan","version":1}
 *     {"action":"clear","class":"stale_mapping","evidence":{...},...}      one line an item
 *     {"database":"...","incomplete":0,"items":1,...}                       the whole run
 *     {"sha256":"..."}                                                      of all bytes before it */
static const char format_name[] = "sandsweep-plan", temporary[] = ".XXXXXX";
static const char seal_key[] = "{\"sha256\":\"";

enum { LINE_MAX_BYTES = 1 << 20, PATH_BYTES_MAX = 4096, ID_BYTES_MAX = 127 };

/* ---- writing ---- */

struct plan_writer {
	FILE *file;
	char *path, *name; /* the file's name until it is whole, and after */
	struct hash_stream *hash;
	int64_t item_count, byte_count;
	struct err err; /* the first one */
};

static void write_bytes(struct plan_writer *w, const char *text, size_t len)
{
	if (w->err.kind != ERR_NONE)
		return;
	w->byte_count += (int64_t)len;
	if (w->byte_count > PLAN_BYTES_MAX)
		(void)err_set(&w->err, ERR_REJECT, "plan",
		              "the plan would be larger than %d MiB; narrow it with --team or --class",
		              PLAN_BYTES_MAX >> 20);
	else if (fwrite(text, 1, len, w->file) != len)
		(void)err_errno(&w->err, ERR_FATAL, errno, "cannot write %s", w->name);
}

/* Writes `object` as one line, and drops it. */
static void write_line(struct plan_writer *w, json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(object);
	if (!text) {
		(void)err_oom(&w->err);
		return;
	}
	size_t len = strlen(text);
	if (len >= LINE_MAX_BYTES)
		(void)err_set(&w->err, ERR_REJECT, "plan", "item %lld of the plan is too long",
		              (long long)w->item_count);
	text[len] = '\n'; /* in place of the NUL */
	write_bytes(w, text, len + 1);
	hash_more(w->hash, text, len + 1);
	free(text);
}

static int open_temporary(struct plan_writer *w, const char *path, struct err *err)
{
	size_t size = strlen(path) + sizeof(temporary);
	w->name = strdup(path);
	w->path = malloc(size);
	w->hash = hash_begin();
	if (!w->name || !w->path || !w->hash)
		return err_oom(err);
	(void)snprintf(w->path, size, "%s%s", path, temporary);
	/* mkostemp makes it 0600: a plan tells what a team owns. */
	int fd = mkostemp(w->path, O_CLOEXEC);
	w->file = fd < 0 ? NULL : fdopen(fd, "w");
	if (w->file)
		return 0;
	int problem = errno;
	if (fd >= 0) {
		(void)unlink(w->path);
		(void)close(fd);
	}
	return err_errno(err, ERR_REJECT, problem, "cannot write %s", path);
}

struct plan_writer *plan_writer_new(const char *path, struct err *err)
{
	if (!*path || strlen(path) >= PATH_BYTES_MAX) {
		(void)err_set(err, ERR_REJECT, "usage", "the plan needs a file name");
		return NULL;
	}
	struct plan_writer *w = calloc(1, sizeof(*w));
	if (!w) {
		(void)err_oom(err);
		return NULL;
	}
	if (open_temporary(w, path, err) < 0) {
		plan_writer_drop(&w);
		return NULL;
	}
	json_t *head = json_object();
	json_put_text(head, "format", format_name);
	json_put_i64(head, "version", PLAN_VERSION);
	write_line(w, head);
	return w;
}

void plan_writer_drop(struct plan_writer **writer)
{
	struct plan_writer *w = TAKE(*writer);
	if (!w)
		return;
	if (w->file) {
		(void)fclose(w->file);
		(void)unlink(w->path);
	}
	hash_drop(&w->hash);
	free(w->path);
	free(w->name);
	free(w);
}

static bool is_act(const struct store_finding *f)
{
	return f->verdict && strcmp(f->verdict, "proved") == 0 && strcmp(f->action, "note") != 0;
}

void plan_writer_item(struct plan_writer *w, const struct store_finding *f)
{
	if (!is_act(f) || w->err.kind != ERR_NONE)
		return;
	json_t *evidence = f->evidence ? json_loads(f->evidence, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (!json_is_object(evidence)) {
		json_decref(evidence);
		(void)err_set(&w->err, ERR_FATAL, "bug", "%s %s has no evidence", f->kind, f->resource_id);
		return;
	}
	json_t *item = json_object();
	json_put_text(item, "action", f->action);
	json_put_text(item, "class", f->class_name);
	(void)json_object_set_new(item, "evidence", evidence);
	json_put_uuid(item, "function", &f->function_id);
	json_put_text(item, "id", f->resource_id);
	json_put_text(item, "kind", f->kind);
	json_put_text(item, "parent", f->parent_id);
	json_put_text(item, "proof", f->proof);
	json_put_uuid(item, "revision", &f->revision_id);
	json_put_time(item, "since", f->since_us);
	json_put_uuid(item, "team", &f->team_id);
	w->item_count++;
	write_line(w, item);
}

static void write_end(struct plan_writer *w, const struct reconcile_summary *s)
{
	char number[24];
	json_t *end = json_object();
	json_put_text(end, "database", s->database);
	json_put_i64(end, "incomplete", s->incomplete);
	json_put_i64(end, "items", w->item_count);
	json_put_i64(end, "listings", s->listings);
	json_put_time(end, "made_at", s->t0_us);
	json_put_i64(end, "rows", s->rows);
	json_put_i64(end, "run", s->run_id);
	/* Larger than what a double holds exactly, so it is a text. */
	(void)snprintf(number, sizeof(number), "%lld", (long long)s->system_id);
	json_put_text(end, "system_id", number);
	json_put_i64(end, "teams", s->teams);
	write_line(w, end);
}

static void write_seal(struct plan_writer *w)
{
	uint8_t digest[HASH_SIZE];
	char line[sizeof(seal_key) + HASH_HEX_SIZE + 4];
	hash_end(&w->hash, digest);
	size_t len = sizeof(seal_key) - 1;
	memcpy(line, seal_key, len);
	num_hex(digest, HASH_SIZE, line + len);
	len += HASH_HEX_SIZE - 1;
	memcpy(line + len, "\"}\n", 3);
	write_bytes(w, line, len + 3);
}

/* The name is on the disk when its directory is. */
static int sync_directory(const char *path, struct err *err)
{
	char dir[PATH_BYTES_MAX] = ".";
	const char *slash = strrchr(path, '/');
	if (slash)
		(void)snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) < 0 ? -1 : 0;
	int problem = errno;
	if (fd >= 0)
		(void)close(fd);
	return rc < 0 ? err_errno(err, ERR_FATAL, problem, "cannot write %s", path) : 0;
}

static void publish(struct plan_writer *w)
{
	if (fflush(w->file) != 0 || fsync(fileno(w->file)) < 0 || rename(w->path, w->name) < 0)
		(void)err_errno(&w->err, ERR_FATAL, errno, "cannot write %s", w->name);
	else if (sync_directory(w->name, &w->err) < 0)
		(void)unlink(w->name);
	if (w->err.kind != ERR_NONE)
		return;
	(void)fclose(TAKE(w->file)); /* nothing is in its buffer */
}

int plan_writer_end(struct plan_writer *writer, const struct reconcile_summary *summary,
                    struct err *err)
{
	AUTO(plan_writer_drop) struct plan_writer *w = writer;
	write_end(w, summary);
	write_seal(w);
	if (w->err.kind == ERR_NONE)
		publish(w);
	if (w->err.kind == ERR_NONE)
		return 0;
	return err_set(err, w->err.kind, w->err.code, "%s", w->err.text);
}

/* ---- reading ---- */

/* One line after the other, hashed as they come. */
struct reader {
	FILE *file;
	struct hash_stream *hash;
	struct buf line; /* without its '\n' */
	int64_t number;
};

static void reader_done(struct reader *r)
{
	hash_drop(&r->hash);
	buf_done(&r->line);
}

static int bad(struct err *err, const struct reader *r, const char *what)
{
	return err_set(err, ERR_REJECT, "plan", "this is no sound plan: line %lld %s",
	               (long long)r->number, what);
}

/* The next line, into r->line; not hashed yet. */
static int next_line(struct reader *r, struct err *err)
{
	int c;
	r->number++;
	buf_clear(&r->line);
	while ((c = getc_unlocked(r->file)) != EOF && c != '\n')
		if (buf_char(&r->line, (char)c) < 0)
			return r->line.len < LINE_MAX_BYTES ? err_oom(err) : bad(err, r, "is too long");
	if (ferror(r->file))
		return err_errno(err, ERR_FATAL, errno, "cannot read the plan");
	return c == EOF || r->line.len == 0 ? bad(err, r, "is cut off") : 0;
}

static void hash_line(struct reader *r)
{
	hash_more(r->hash, r->line.data, r->line.len);
	hash_more(r->hash, "\n", 1);
}

static json_t *parse_line(const struct reader *r, struct err *err)
{
	struct err why = {0};
	json_t *json = json_parse(r->line.data, r->line.len, &why);
	if (!json && why.kind == ERR_RETRY)
		(void)err_oom(err);
	else if (!json)
		(void)bad(err, r, "is not JSON");
	return json;
}

#define FIELD(name, kind, type, member, min, max)                          \
	{                                                                      \
		name, kind, offsetof(struct type, member), JSON_REQUIRED, min, max \
	}
#define OPTIONAL(name, kind, type, member, max)                                                \
	{                                                                                          \
		name, kind, offsetof(struct type, member), offsetof(struct type, has_##member), 1, max \
	}

struct item {
	const char *action, *class_name, *id, *kind, *parent, *proof, *since;
	struct uuid function, revision, team;
	bool has_parent, has_function, has_revision, has_team;
	json_t *evidence;
};
static const struct json_field item_fields[] = {
    FIELD("action", JSON_KIND_STR, item, action, 1, 16),
    FIELD("class", JSON_KIND_STR, item, class_name, 1, 32),
    FIELD("evidence", JSON_KIND_OBJ, item, evidence, 0, 0),
    FIELD("id", JSON_KIND_STR, item, id, 1, ID_BYTES_MAX),
    FIELD("kind", JSON_KIND_STR, item, kind, 1, 16),
    FIELD("proof", JSON_KIND_STR, item, proof, 1, 16),
    FIELD("since", JSON_KIND_STR, item, since, 1, CLOCK_RFC3339_SIZE),
    OPTIONAL("parent", JSON_KIND_STR, item, parent, ID_BYTES_MAX),
    OPTIONAL("function", JSON_KIND_UUID, item, function, 0),
    OPTIONAL("revision", JSON_KIND_UUID, item, revision, 0),
    OPTIONAL("team", JSON_KIND_UUID, item, team, 0),
};

struct ending {
	const char *database, *made_at, *system_id;
	int64_t items;
};
static const struct json_field ending_fields[] = {
    FIELD("database", JSON_KIND_STR, ending, database, 1, 127),
    FIELD("items", JSON_KIND_I64, ending, items, 0, INT64_MAX),
    FIELD("made_at", JSON_KIND_STR, ending, made_at, 1, CLOCK_RFC3339_SIZE),
    FIELD("system_id", JSON_KIND_STR, ending, system_id, 1, 20),
};

static bool one_of(const char *word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

/* The item in `json` as a finding, whose texts are the json_t's; its evidence is owned by the caller. */
static int decode_item(const struct reader *r, json_t *json, struct store_finding *ret,
                       struct err *err)
{
	static const char *const kinds[] = {"sandbox", "volume", "snapshot"};
	static const char *const actions[] = {"clear", "doom", "adopt"};
	static const char *const proofs[] = {"none", "absent", "present", "owner", "maker"};
	struct item item = {0};
	struct err why = {0};
	enum reconcile_class class_;
	int64_t since_us;
	if (json_decode(json, item_fields, N_OF(item_fields), &item, &why) < 0)
		return bad(err, r, why.text);
	if (reconcile_class_parse(item.class_name, &class_) < 0)
		return bad(err, r, "has an unknown class");
	if (!one_of(item.kind, kinds, N_OF(kinds)) || !one_of(item.action, actions, N_OF(actions)) ||
	    !one_of(item.proof, proofs, N_OF(proofs)))
		return bad(err, r, "has an unknown kind, action or proof");
	if (clock_parse_rfc3339(item.since, strlen(item.since), &since_us) < 0)
		return bad(err, r, "has a since that is no time");
	char *evidence = json_text(item.evidence);
	if (!evidence)
		return err_oom(err);
	*ret = (struct store_finding){
	    .class_name = item.class_name,
	    .kind = item.kind,
	    .resource_id = item.id,
	    .parent_id = item.parent,
	    .team_id = item.team,
	    .function_id = item.function,
	    .revision_id = item.revision,
	    .since_us = since_us,
	    .proof = item.proof,
	    .action = item.action,
	    .evidence = evidence,
	};
	return 0;
}

static int read_ending(const struct reader *r, json_t *json, int64_t seen,
                       struct reconcile_plan *ret, struct err *err)
{
	struct ending end = {0};
	struct err why = {0};
	if (json_decode(json, ending_fields, N_OF(ending_fields), &end, &why) < 0)
		return bad(err, r, why.text);
	if (end.items != seen)
		return bad(err, r, "counts other items than there are");
	if (clock_parse_rfc3339(end.made_at, strlen(end.made_at), &ret->made_us) < 0 ||
	    num_i64(end.system_id, strlen(end.system_id), INT64_MIN, INT64_MAX, &ret->system_id) < 0)
		return bad(err, r, "does not say of which database the plan is, and when it was made");
	ret->item_count = seen;
	(void)snprintf(ret->database, sizeof(ret->database), "%s", end.database);
	return 0;
}

typedef int item_fn(void *arg, const struct store_finding *finding, struct err *err);

/* One line between the head and the seal. 1: it was the last one, *ret is filled. */
static int read_line(struct reader *r, int64_t seen, item_fn *fn, void *arg,
                     struct reconcile_plan *ret, struct err *err)
{
	struct store_finding finding;
	if (next_line(r, err) < 0)
		return -1;
	hash_line(r);
	AUTO(json_drop) json_t *json = parse_line(r, err);
	if (!json)
		return -1;
	if (json_object_get(json, "items"))
		return read_ending(r, json, seen, ret, err) < 0 ? -1 : 1;
	if (decode_item(r, json, &finding, err) < 0)
		return -1;
	finding.id = seen + 1;
	int rc = fn ? fn(arg, &finding, err) : 0;
	free((void *)(uintptr_t)finding.evidence);
	return rc;
}

static int read_head(struct reader *r, struct err *err)
{
	if (next_line(r, err) < 0)
		return -1;
	hash_line(r);
	AUTO(json_drop) json_t *json = parse_line(r, err);
	const char *format = json_string_value(json_object_get(json, "format"));
	const json_t *version = json_object_get(json, "version");
	if (!format || strcmp(format, format_name) != 0)
		return err_set(err, ERR_REJECT, "plan", "this is no plan of sandsweep reconcile");
	if (!json_is_integer(version) || json_integer_value(version) != PLAN_VERSION)
		return err_set(err, ERR_REJECT, "plan",
		               "this plan is of version %lld; this program reads version %d",
		               (long long)json_integer_value(version), PLAN_VERSION);
	return 0;
}

static int read_seal(struct reader *r, uint8_t ret_digest[HASH_SIZE], struct err *err)
{
	const size_t key_len = sizeof(seal_key) - 1, hex_len = HASH_HEX_SIZE - 1;
	const char *line;
	uint8_t said[HASH_SIZE];
	hash_end(&r->hash, ret_digest);
	if (next_line(r, err) < 0)
		return -1;
	line = r->line.data;
	if (r->line.len != key_len + hex_len + 2 || memcmp(line, seal_key, key_len) != 0 ||
	    memcmp(line + key_len + hex_len, "\"}", 2) != 0 ||
	    num_unhex(line + key_len, hex_len, said) < 0)
		return bad(err, r, "is not the seal that a plan ends with");
	if (fgetc(r->file) != EOF)
		return bad(err, r, "is not the last one");
	if (!hash_equal(said, ret_digest))
		return err_set(err, ERR_REJECT, "plan",
		               "this plan was altered after it was made: its SHA-256 is another one");
	return 0;
}

/* The whole file from its beginning. */
static int read_all(FILE *file, item_fn *fn, void *arg, struct reconcile_plan *ret, struct err *err)
{
	AUTO(reader_done) struct reader r = {.file = file, .hash = hash_begin()};
	int64_t seen = 0;
	int rc = 0;
	if (!r.hash)
		return err_oom(err);
	buf_init(&r.line, LINE_MAX_BYTES);
	rewind(file);
	if (read_head(&r, err) < 0)
		return -1;
	while ((rc = read_line(&r, seen, fn, arg, ret, err)) == 0)
		seen++;
	return rc < 0 ? -1 : read_seal(&r, ret->digest, err);
}

int plan_open(const char *path, struct reconcile_plan *ret, struct err *err)
{
	struct stat st;
	struct reconcile_plan plan = {0};
	/* A pipe is none, and must not be waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_errno(err, ERR_REJECT, errno, "cannot read %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > PLAN_BYTES_MAX) {
		(void)close(fd);
		return err_set(err, ERR_REJECT, "plan", "%s is no file of at most %d MiB", path,
		               PLAN_BYTES_MAX >> 20);
	}
	plan.file = fdopen(fd, "r");
	if (!plan.file) {
		(void)close(fd);
		return err_oom(err);
	}
	if (read_all(plan.file, NULL, NULL, &plan, err) < 0) {
		plan_close(&plan);
		return -1;
	}
	*ret = plan;
	return 0;
}

void plan_close(struct reconcile_plan *plan)
{
	if (plan->file)
		(void)fclose(plan->file);
	plan->file = NULL;
}

int plan_check(const struct reconcile_plan *plan, int64_t now_us, int64_t max_age_ms,
               int64_t system_id, const char *database, struct err *err)
{
	char made[CLOCK_RFC3339_SIZE];
	clock_rfc3339(plan->made_us, made);
	if (plan->system_id != system_id)
		return err_set(err, ERR_REJECT, "plan",
		               "this plan is of another PostgreSQL cluster (%lld, not %lld)",
		               (long long)plan->system_id, (long long)system_id);
	if (strcmp(plan->database, database) != 0)
		return err_set(err, ERR_REJECT, "plan", "this plan is of the database \"%s\", not \"%s\"",
		               plan->database, database);
	if (plan->made_us > now_us)
		return err_set(err, ERR_REJECT, "plan",
		               "this plan was made at %s, which is not yet by the database's clock", made);
	if (now_us - plan->made_us > max_age_ms * 1000)
		return err_set(err, ERR_REJECT, "plan",
		               "this plan is too old: it was made at %s, and "
		               "reconcile.plan_max_age_ms allows %lld s; make a new one",
		               made, (long long)(max_age_ms / 1000));
	return 0;
}

int plan_each(struct reconcile_plan *plan, item_fn *fn, void *arg, struct err *err)
{
	struct reconcile_plan again = {0};
	if (read_all(plan->file, fn, arg, &again, err) < 0)
		return -1;
	if (!hash_equal(again.digest, plan->digest))
		return err_set(err, ERR_REJECT, "plan", "the plan changed while it was read");
	return 0;
}
