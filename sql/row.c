#include "row.h"

#include <endian.h>
#include <string.h>

#include "pg_private.h"

/* The types of columns by their fixed numbers in pg_type. */
enum {
	OID_BOOL = 16,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_VARCHAR = 1043,
	OID_TIMESTAMPTZ = 1184,
	OID_UUID = 2950,
	OID_JSONB = 3802,
};
static const int64_t unix_epoch_from_2000_us = 946684800000000;

static bool type_fits(enum row_type type, unsigned oid)
{
	switch (type) {
	case ROW_I64: return oid == OID_INT8 || oid == OID_INT4 || oid == OID_INT2;
	case ROW_BOOL: return oid == OID_BOOL;
	case ROW_TEXT: return oid == OID_TEXT || oid == OID_VARCHAR;
	case ROW_JSON: return oid == OID_JSONB;
	case ROW_UUID: return oid == OID_UUID;
	case ROW_TIME: return oid == OID_TIMESTAMPTZ;
	}
	return false;
}

int row_count(const struct pg_result *res)
{
	return PQntuples(pg_raw(res));
}

int row_check(const struct pg_result *res, const struct row_shape *shape, struct err *err)
{
	const PGresult *raw = pg_raw(res);
	if (PQnfields(raw) != shape->col_count)
		return err_set(err, ERR_FATAL, "row_shape", "a result has %d columns instead of %d",
		               PQnfields(raw), shape->col_count);
	for (int i = 0; i < shape->col_count; i++) {
		const struct row_col *col = &shape->cols[i];
		if (strcmp(PQfname(raw, i), col->name) != 0 || PQfformat(raw, i) != 1 ||
		    !type_fits(col->type, PQftype(raw, i)))
			return err_set(err, ERR_FATAL, "row_shape",
			               "column %d of a result is %s (type %u), not %s", i + 1, PQfname(raw, i),
			               PQftype(raw, i), col->name);
	}
	return 0;
}

static int64_t get_int(const char *value, int len)
{
	uint64_t bits8;
	uint32_t bits4;
	uint16_t bits2;
	switch (len) {
	case 8: memcpy(&bits8, value, 8); return (int64_t)be64toh(bits8);
	case 4: memcpy(&bits4, value, 4); return (int32_t)be32toh(bits4);
	case 2: memcpy(&bits2, value, 2); return (int16_t)be16toh(bits2);
	default: return 0;
	}
}

/* One column; a NULL leaves the zero that is there. */
static void get_col(const PGresult *raw, int row, int at, const struct row_col *col, char *field)
{
	const char *value = PQgetvalue(raw, row, at);
	int len = PQgetlength(raw, row, at);
	int64_t number;
	switch (col->type) {
	case ROW_I64:
		number = get_int(value, len);
		memcpy(field, &number, sizeof(number));
		return;
	case ROW_TIME:
		/* 'infinity' is the largest number there is, and stays it. */
		if (__builtin_add_overflow(get_int(value, len), unix_epoch_from_2000_us, &number))
			number = INT64_MAX;
		memcpy(field, &number, sizeof(number));
		return;
	case ROW_BOOL: *(bool *)field = value[0] != 0; return;
	case ROW_UUID:
		memcpy(field, value, len == (int)sizeof(struct uuid) ? sizeof(struct uuid) : 0);
		return;
	case ROW_JSON:
		value++; /* the version byte in front of jsonb's text */
		memcpy(field, &value, sizeof(value));
		return;
	case ROW_TEXT: memcpy(field, &value, sizeof(value)); return;
	}
}

void row_get(const struct pg_result *res, const struct row_shape *shape, int at, void *ret)
{
	memset(ret, 0, shape->size);
	for (int i = 0; i < shape->col_count; i++)
		if (!PQgetisnull(pg_raw(res), at, i))
			get_col(pg_raw(res), at, i, &shape->cols[i], (char *)ret + shape->cols[i].offset);
}
