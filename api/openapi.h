/* The description of the API, docs/openapi.yaml, as the program carries it. */
#ifndef API_OPENAPI_H
#define API_OPENAPI_H

#include <stddef.h>

extern const char openapi_yaml[];
extern const size_t openapi_yaml_len; /* bytes, without the NUL at the end */

#endif
