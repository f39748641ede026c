/* GET /state of the control port: what is there and what is not, as it truly is. */
#ifndef SIM_CONTROL_STATE_H
#define SIM_CONTROL_STATE_H

#include "control_api.h"

/* ?kind=sandbox|volume|snapshot and either &id= (one object, state "unknown" for an id that never
 * was) or [&team=][&all=1][&after=N][&limit=M]: {"items":[...],"next":N or null}, ask again with
 * after=next. Without all=1 only what is there. */
control_handler control_state;

/* The kind of a word, or KIND_COUNT. */
enum kind { KIND_SANDBOX, KIND_VOLUME, KIND_SNAPSHOT, KIND_COUNT };
enum kind control_kind(const char *word);
/* Whatever its presence; IDS_NONE when it never was. */
uint32_t control_find(const struct world *world, enum kind kind, const char *id);

#endif
