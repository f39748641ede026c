/* The five macros of this code base. None of them hides control flow. */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

/* Runs fn(&variable) when the variable leaves its scope. */
#define AUTO(fn) __attribute__((cleanup(fn)))

/* Hands a pointer over to the caller and leaves NULL behind, so that AUTO does not free it. */
#define TAKE(p)                 \
	({                          \
		__typeof__(p) _p = (p); \
		(p) = NULL;             \
		_p;                     \
	})

#define N_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))

#endif
