/* An error that says what to do about it. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "macros.h"

/* The kind is the policy, decided once, at the boundary where the error was met. */
enum err_kind {
	ERR_NONE,
	ERR_RETRY,  /* wait and try again: a server that is away, a lost connection, a deadline */
	ERR_REJECT, /* the input is wrong and stays wrong: a 4xx, a dead letter, exit 64 or 65 */
	ERR_FATAL,  /* this process cannot go on: exit non-zero, the service manager restarts it */
};

struct err {
	enum err_kind kind;
	char code[32];  /* a stable word for programs: a SQLSTATE, an errno name, our own */
	char text[512]; /* one sentence for people, without line ends and secrets */
};

/* Fills *err unless an earlier error is already in it (the first one wins). `err` may be NULL.
 * Control characters in the text become spaces. Always returns -1, so that
 * `return err_set(err, ...)` reads as it runs. */
int err_set(struct err *err, enum err_kind kind, const char *code, const char *fmt, ...)
    PRINTF(4, 5);

/* The same with ": strerror(errno_value)" at the end and the errno name as code. */
int err_errno(struct err *err, enum err_kind kind, int errno_value, const char *fmt, ...)
    PRINTF(4, 5);

/* The error of every failed allocation: ERR_RETRY, code "ENOMEM". Returns -1. */
int err_oom(struct err *err);

/* "retry", "reject", "fatal" or "none". */
const char *err_kind_name(enum err_kind kind);

#endif
