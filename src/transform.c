#include "transform.h"

#include "profile.h"
#include "select.h"

static bool wants_relation(const struct wf_source_conf *conf, struct wf_relation *rel)
{
    if (rel->selected == 0)
        rel->selected = wf_select_table(conf, rel->schema, rel->name) ? 1 : -1;
    return rel->selected > 0;
}

bool wf_transform_decide(const struct wf_config *config, struct wf_change *c)
{
    const struct wf_source_conf *conf = &config->source;
    uint32_t kept = 0;

    if (c->rel && !wants_relation(conf, c->rel))
        return false;
    if (c->kind != WF_CHANGE_TRUNCATE)
        return !wf_select_skips(conf, c->kind, false);
    if (wf_select_skips(conf, c->kind, wf_profile_rules(&config->format)->truncate_in_topic))
        return false;
    for (uint32_t i = 0; i < c->truncate.nrels; i++) {
        if (wants_relation(conf, c->truncate.rels[i]))
            c->truncate.rels[kept++] = c->truncate.rels[i];
    }
    c->truncate.nrels = kept;
    return kept > 0;
}
