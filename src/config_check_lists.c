/* Checks of options that hold patterns and what belongs to them. */
#include <stdio.h>

#include "config_parts.h"
#include "mask.h"
#include "pattern.h"
#include "plugins.h"
#include "profile.h"

/* @dots: at least so many in a glob: schema.table, schema.table.column. */
static void check_pattern(struct wf_config_reader *r, unsigned line, unsigned col, const char *key,
                          const char *pattern, unsigned dots)
{
    char why[100];
    unsigned n = 0;

    if (wf_pattern_fault(pattern, why, sizeof(why))) {
        wf_config_problem(r, line, col, "%s: %s is no regular expression: %s", key,
                          wf_shown(pattern).s, why);
        return;
    }
    for (const char *s = pattern; *s; s++)
        n += *s == '.';
    if (pattern[0] != '/' && n < dots)
        wf_config_problem(r, line, col, "%s: \"%s\" is not of the form %s", key,
                          wf_shown(pattern).s, dots == 2 ? "schema.table.column" : "schema.table");
}

static void check_list(struct wf_config_reader *r, enum wf_section_id section, const char *key,
                       const struct wf_list *list, unsigned dots)
{
    const struct wf_place *p = wf_config_place(r, section, key);
    char name[64];

    snprintf(name, sizeof(name), "%s.%s", r->sections[section].name, key);
    for (size_t i = 0; wf_config_usable(p) && i < list->n; i++)
        check_pattern(r, p->line, p->col, name, list->items[i], dots);
}

static void check_map(struct wf_config_reader *r, enum wf_section_id section, const char *key,
                      const struct wf_map *map, unsigned dots,
                      void (*value)(struct wf_config_reader *r, const char *name,
                                    const struct wf_map_item *item))
{
    const struct wf_place *p = wf_config_place(r, section, key);
    char name[64];

    snprintf(name, sizeof(name), "%s.%s", r->sections[section].name, key);
    for (size_t i = 0; wf_config_usable(p) && i < map->n; i++) {
        check_pattern(r, map->items[i].line, map->items[i].col, name, map->items[i].key, dots);
        value(r, name, &map->items[i]);
    }
}

static void check_mask(struct wf_config_reader *r, const char *name, const struct wf_map_item *item)
{
    struct wf_mask mask;

    if (!wf_mask_read(item->value, &mask))
        wf_config_problem(r, item->line, item->col,
                          "%s: \"%s\" is no mask: hash, fixed TEXT or truncate N (up to 1000000)",
                          name, wf_shown(item->value).s);
    else if (mask.kind == WF_MASK_HASH && (!r->c->source.mask_salt || !*r->c->source.mask_salt))
        wf_config_problem(r, item->line, item->col,
                          "%s: hash needs source.mask_salt: without a salt whoever guesses a value "
                          "can check the guess",
                          name);
}

static void check_not_empty(struct wf_config_reader *r, const char *name,
                            const struct wf_map_item *item)
{
    if (!item->value[strspn(item->value, ", ")])
        wf_config_problem(r, item->line, item->col, "%s: must not be empty", name);
}

static void check_large(struct wf_config_reader *r, const char *name,
                        const struct wf_map_item *item)
{
    if (strcmp(item->value, "halt") != 0 && strcmp(item->value, "dead_letter") != 0 &&
        strcmp(item->value, "marker") != 0)
        wf_config_problem(r, item->line, item->col,
                          "%s: \"%s\" is none of halt, dead_letter and marker", name,
                          wf_shown(item->value).s);
}

static void check_template(struct wf_config_reader *r, const char *name,
                           const struct wf_map_item *item)
{
    const char *bad = NULL, *fault = wf_config_template_fault(item->value, &bad);

    if (fault)
        wf_config_problem(r, item->line, item->col, "%s: at \"%s\": %s", name, wf_shown(bad).s,
                          fault);
}

static void check_operations(struct wf_config_reader *r)
{
    const struct wf_place *p = wf_config_place(r, WF_SECTION_SOURCE, "skipped_operations");
    const struct wf_list *list = &r->c->source.skipped_operations;

    for (size_t i = 0; wf_config_usable(p) && i < list->n; i++) {
        const char *item = list->items[i];
        bool none = strcmp(item, "none") == 0;

        if (!none && (strlen(item) != 1 || !strchr("cudt", item[0])))
            wf_config_problem(r, p->line, p->col,
                              "source.skipped_operations: \"%s\" is none of c, u, d, t and none",
                              wf_shown(item).s);
        else if (none && list->n > 1)
            wf_config_problem(r, p->line, p->col, "source.skipped_operations: none stands alone");
    }
}

/* Options that a profile has no place for. */
static void check_profile(struct wf_config_reader *r)
{
    const struct wf_format_conf *f = &r->c->format;
    const struct wf_place *toast = wf_config_place(r, WF_SECTION_FORMAT, "unchanged_toast");
    const struct wf_place *txn =
        wf_config_place(r, WF_SECTION_FORMAT, "provide_transaction_metadata");
    const struct wf_place *encoding = wf_config_place(r, WF_SECTION_FORMAT, "encoding");
    bool debezium = wf_profile_rules(f)->shape == WF_SHAPE_DEBEZIUM;

    if (wf_config_place(r, WF_SECTION_FORMAT, "profile")->bad)
        return;
    if (wf_config_usable(toast) && f->toast_mode == WF_TOAST_MARK && debezium)
        wf_config_problem(r, toast->line, toast->col,
                          "format.unchanged_toast: mark needs profile native or row: Debezium's "
                          "envelope has no place for it");
    if (wf_config_usable(txn) && f->transactions && !debezium)
        wf_config_problem(r, txn->line, txn->col,
                          "format.provide_transaction_metadata: profiles native and row have no "
                          "place for it; native numbers events in source.ordinal by itself");
    if (wf_config_usable(encoding) && f->encoding == WF_ENC_SINGLE_OBJECT &&
        r->c->sink_ops->framing == WF_FRAME_NONE && !r->c->sink_ops->json_only && !r->sink_type.bad)
        wf_config_problem(r, encoding->line, encoding->col,
                          "format.encoding: sink %s keeps the schema itself; hint: avro",
                          r->c->sink_ops->name);
}

/* Options that only a publication can carry out. */
static void check_decoder(struct wf_config_reader *r)
{
    const struct wf_source_conf *s = &r->c->source;
    const struct wf_place *filters = wf_config_place(r, WF_SECTION_SOURCE, "row_filters");
    const struct wf_place *binary = wf_config_place(r, WF_SECTION_SOURCE, "binary");
    const struct wf_decoder_ops *ops = wf_decoders[s->decoder];

    if (wf_config_place(r, WF_SECTION_SOURCE, "decoder")->bad || ops->needs_publication)
        return;
    if (wf_config_usable(filters) && s->row_filters.n)
        wf_config_problem(r, filters->line, filters->col,
                          "source.row_filters: decoder %s has none; hint: source.decoder: pgoutput",
                          ops->name);
    if (wf_config_usable(binary) && s->binary)
        wf_config_problem(r, binary->line, binary->col,
                          "source.binary: decoder %s sends text only; hint: source.decoder: "
                          "pgoutput",
                          ops->name);
}

void wf_config_check_lists(struct wf_config_reader *r)
{
    const struct wf_source_conf *s = &r->c->source;
    const struct wf_format_conf *f = &r->c->format;

    check_list(r, WF_SECTION_SOURCE, "tables", &s->tables, 0);
    check_list(r, WF_SECTION_SOURCE, "exclude_tables", &s->exclude_tables, 1);
    check_list(r, WF_SECTION_SOURCE, "columns", &s->columns, 2);
    check_list(r, WF_SECTION_SOURCE, "exclude_columns", &s->exclude_columns, 2);
    check_map(r, WF_SECTION_SOURCE, "mask", &s->mask, 2, check_mask);
    check_map(r, WF_SECTION_SOURCE, "row_filters", &s->row_filters, 1, check_not_empty);
    check_operations(r);
    check_map(r, WF_SECTION_FORMAT, "topics", &f->topics, 1, check_template);
    check_map(r, WF_SECTION_FORMAT, "keys", &f->keys, 1, check_not_empty);
    check_map(r, WF_SECTION_FORMAT, "on_large_event", &f->large_events, 1, check_large);
    check_list(r, WF_SECTION_FORMAT, "column_propagate_source_type", &f->source_type, 0);
    check_list(r, WF_SECTION_FORMAT, "allow_semantic_change", &f->semantic_free, 1);
    check_profile(r);
    check_decoder(r);
}
