#include "guard.h"

#include <stdio.h>

/* Both guards of the whole run, and both of one team. */
struct limits {
	int64_t acts, share;
	const char *acts_name, *share_name;
};

static struct limits limits_of(const struct reconcile_config *config,
                               const struct store_blast *blast)
{
	if (uuid_is_nil(&blast->team_id))
		return (struct limits){config->max_acts, config->max_share, "reconcile.max_acts",
		                       "reconcile.max_share"};
	return (struct limits){config->max_acts_team, config->max_share_team, "reconcile.max_acts_team",
	                       "reconcile.max_share_team"};
}

/* 100 * acts > percent * of, for any numbers. */
static bool over_share(int64_t acts, int64_t percent, int64_t of)
{
	return (__int128)acts * 100 > (__int128)percent * of;
}

/* "the run" or "team 0123...". */
static void scope_of(const struct store_blast *blast, char ret[64])
{
	char team[UUID_TEXT_SIZE];
	uuid_format(&blast->team_id, team);
	if (uuid_is_nil(&blast->team_id))
		(void)snprintf(ret, 64, "the run");
	else
		(void)snprintf(ret, 64, "the run on team %s", team);
}

static bool blast_allowed(const struct reconcile_config *config, const struct store_blast *blast,
                          int64_t run_acts, char ret_text[512])
{
	const struct limits limits = limits_of(config, blast);
	char scope[64];
	scope_of(blast, scope);
	if (blast->acts > limits.acts) {
		(void)snprintf(
		    ret_text, 512,
		    "%s would do %lld acts and %s allows %lld: nothing was done; look at it with "
		    "--dry-run, and allow it with --allow %lld",
		    scope, (long long)blast->acts, limits.acts_name, (long long)limits.acts,
		    (long long)run_acts);
		return false;
	}
	if (blast->acts > config->min_acts && over_share(blast->acts, limits.share, blast->owned)) {
		(void)snprintf(
		    ret_text, 512,
		    "%s would do %lld acts on %lld owned things and %s allows %lld percent: nothing "
		    "was done; look at it with --dry-run, and allow it with --allow %lld",
		    scope, (long long)blast->acts, (long long)blast->owned, limits.share_name,
		    (long long)limits.share, (long long)run_acts);
		return false;
	}
	return true;
}

bool guard_allows(const struct reconcile_config *config, const struct store_blast *blasts,
                  int count, int64_t allow, char ret_text[512])
{
	ret_text[0] = '\0';
	if (count == 0 || blasts[0].acts == 0)
		return true;
	if (allow >= blasts[0].acts) /* a person has said so many */
		return true;
	for (int i = 0; i < count; i++)
		if (!blast_allowed(config, &blasts[i], blasts[0].acts, ret_text))
			return false;
	return true;
}
