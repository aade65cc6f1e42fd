#include "transform.h"

#include "publication.h"

static bool wants_relation(const struct wf_source_conf *conf, struct wf_relation *rel)
{
    if (rel->selected == 0)
        rel->selected = wf_tables_match(&conf->tables, rel->schema, rel->name) ? 1 : -1;
    return rel->selected > 0;
}

bool wf_transform_wants(const struct wf_source_conf *conf, struct wf_change *c)
{
    uint32_t kept = 0;

    if (c->rel)
        return wants_relation(conf, c->rel);
    if (c->kind != WF_CHANGE_TRUNCATE)
        return true;
    for (uint32_t i = 0; i < c->truncate.nrels; i++) {
        if (wants_relation(conf, c->truncate.rels[i]))
            c->truncate.rels[kept++] = c->truncate.rels[i];
    }
    c->truncate.nrels = kept;
    return kept > 0;
}
