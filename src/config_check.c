#include "config_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "address.h"
#include "log.h"
#include "names.h"
#include "secret.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define TOPIC_CHARS LOWER UPPER DIGITS "._-" /* legal in a Kafka topic */
#define PREFIX_MAX_BYTES (WF_TOPIC_MAX - (int)sizeof(".truncate") + 1)
#define SLOT_CHARS LOWER DIGITS "_"
#define NAME_MAX_BYTES 63 /* NAMEDATALEN - 1 of PostgreSQL */

/* ---- defaults from the pipeline's name ---- */

static char *slot_for(const char *pipeline)
{
    char *slot;

    if (asprintf(&slot, "walferry_%.*s", NAME_MAX_BYTES - 9, pipeline) < 0)
        return NULL;
    for (char *p = slot; *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
        if (!strchr(SLOT_CHARS, *p))
            *p = '_';
    }
    return slot;
}

/* "{pipeline}" in the default of a row that the file does not set. */
static bool name_default(const struct wf_opt *opt, void *conf, const char *pipeline)
{
    const char *mark = opt->type == WF_OPT_STR && opt->dflt ? strstr(opt->dflt, WF_PIPELINE) : NULL;
    void *at = (char *)conf + opt->field;
    char **field = at;
    char *text;

    if (!mark)
        return true;
    if (asprintf(&text, "%.*s%s%s", (int)(mark - opt->dflt), opt->dflt, pipeline,
                 mark + strlen(WF_PIPELINE)) < 0)
        return false;
    free(*field);
    *field = text;
    return true;
}

enum wf_rc wf_config_derive(struct wf_config *c, struct wf_err *err)
{
    struct wf_section sections[WF_SECTIONS];
    bool ok = true;

    wf_config_sections(c, sections);
    for (size_t i = 0; i < WF_SECTIONS; i++)
        for (size_t row = 0; ok && sections[i].opts[row].key; row++)
            if (!(c->given[i] >> row & 1))
                ok = name_default(&sections[i].opts[row], sections[i].conf, c->pipeline);
    if (ok && !c->source.slot)
        ok = (c->source.slot = slot_for(c->pipeline)) != NULL;
    if (ok && !c->source.publication)
        ok = (c->source.publication = strdup(c->source.slot)) != NULL;
    if (c->sink_ops->no_tombstones) /* then a delete says so itself, whatever the profile */
        c->format.tombstones = false;
    return ok ? WF_OK : wf_err_set(err, WF_FATAL, "memory", "out of memory");
}

/* ---- checks ---- */

struct wf_place *wf_config_place(struct wf_config_reader *r, enum wf_section_id id, const char *key)
{
    const struct wf_opt *opts = r->sections[id].opts;

    return &r->place[id][wf_opt_find(opts, key) - opts];
}

bool wf_config_usable(const struct wf_place *p)
{
    return p->line && !p->bad;
}

static void check_names(struct wf_config_reader *r)
{
    const struct wf_config *c = r->c;
    const struct wf_place *slot = wf_config_place(r, WF_SECTION_SOURCE, "slot");
    const struct wf_place *publication = wf_config_place(r, WF_SECTION_SOURCE, "publication");
    const struct wf_place *prefix = wf_config_place(r, WF_SECTION_FORMAT, "prefix");

    if (wf_config_usable(slot) && (strlen(c->source.slot) > NAME_MAX_BYTES ||
                                   c->source.slot[strspn(c->source.slot, SLOT_CHARS)]))
        wf_config_problem(r, slot->line, slot->col,
                          "source.slot: \"%s\" is no slot name: 1 to 63 of a-z, 0-9 and _",
                          wf_shown(c->source.slot).s);
    if (wf_config_usable(publication) && strlen(c->source.publication) > NAME_MAX_BYTES)
        wf_config_problem(r, publication->line, publication->col,
                          "source.publication: \"%s\" is longer than PostgreSQL's 63 bytes",
                          wf_shown(c->source.publication).s);
    if (wf_config_usable(prefix) && c->format.prefix[strspn(c->format.prefix, TOPIC_CHARS)])
        wf_config_problem(r, prefix->line, prefix->col,
                          "format.prefix: \"%s\" may hold letters, digits, dots, _ and - only",
                          wf_shown(c->format.prefix).s);
    else if (wf_config_usable(prefix) && strlen(c->format.prefix) > PREFIX_MAX_BYTES)
        wf_config_problem(r, prefix->line, prefix->col,
                          "format.prefix: longer than %d bytes: a topic's name may have %d",
                          PREFIX_MAX_BYTES, WF_TOPIC_MAX);
}

static void check_tables(struct wf_config_reader *r)
{
    const struct wf_place *p = wf_config_place(r, WF_SECTION_SOURCE, "tables");
    const struct wf_list *tables = &r->c->source.tables;

    if (!wf_config_usable(p))
        return;
    if (tables->n == 0)
        wf_config_problem(r, p->line, p->col,
                          "source.tables: must not be empty; hint: \"*.*\" is every table");
    for (size_t i = 0; i < tables->n; i++) {
        const char *item = tables->items[i], *dot = strchr(item, '.');

        if (item[0] == '/')
            continue;
        if (!dot || dot == item || !dot[1])
            wf_config_problem(r, p->line, p->col,
                              "source.tables: \"%s\" is not of the form schema.table; hint: "
                              "\"public.%s\", or \"*.%s\" for every schema",
                              wf_shown(item).s, dot ? "*" : wf_shown(item).s,
                              dot ? "*" : wf_shown(item).s);
    }
}

const char *wf_config_template_fault(const char *text, const char **bad)
{
    static const char *const names[] = {"{prefix}", "{schema}", "{table}"};

    while (*text) {
        size_t n = strspn(text, TOPIC_CHARS);

        *bad = text + n;
        for (size_t i = 0; i < 3 && n == 0; i++)
            if (strncmp(text, names[i], strlen(names[i])) == 0)
                n = strlen(names[i]);
        if (n == 0 && *text == '{')
            return "there is no such placeholder; hint: {prefix}, {schema} and {table} are known";
        if (n == 0)
            return "a topic may hold letters, digits, dots, _ and - only";
        text += n;
    }
    return NULL;
}

static void check_topic(struct wf_config_reader *r)
{
    const struct wf_place *p = wf_config_place(r, WF_SECTION_FORMAT, "topic");
    const char *bad = NULL, *fault;

    if (!wf_config_usable(p))
        return;
    fault = wf_config_template_fault(r->c->format.topic, &bad);
    if (fault)
        wf_config_problem(r, p->line, p->col, "format.topic: at \"%s\": %s", wf_shown(bad).s,
                          fault);
}

static bool has_userinfo(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    size_t start, len;

    return wf_secret_find(url, 0, &start, &len) || memchr(host, '@', strcspn(host, "/?#")) != NULL;
}

static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://") + 3;

    return wf_is_loopback(host, wf_host_len(host));
}

static void check_url(struct wf_config_reader *r, const struct wf_place *p, const char *url)
{
    bool plain = strncasecmp(url, "http://", 7) == 0;

    if (!plain && strncasecmp(url, "https://", 8) != 0)
        wf_config_problem(r, p->line, p->col,
                          "format.registry: an address must begin with https:// or http://");
    else if (has_userinfo(url)) /* it would turn up in logs; so it is not repeated here */
        wf_config_problem(r, p->line, p->col,
                          "format.registry: user and password do not belong into the address; "
                          "hint: format.registry_user and format.registry_password");
    else if (strpbrk(url, ", \t\n?#"))
        wf_config_problem(r, p->line, p->col,
                          "format.registry: an address is scheme, host, port and path; hint: "
                          "several addresses are a list: [\"https://a\", \"https://b\"]");
    else if (plain && r->c->format.registry_password && !is_loopback(url))
        wf_log(WF_LOG_WARN, "registry_plain", NULL,
               "format.registry: the password travels unencrypted; hint: use https://");
}

static void check_registry(struct wf_config_reader *r)
{
    const struct wf_format_conf *f = &r->c->format;
    const struct wf_place *urls = wf_config_place(r, WF_SECTION_FORMAT, "registry");
    const struct wf_place *password = wf_config_place(r, WF_SECTION_FORMAT, "registry_password");
    const struct wf_place *key = wf_config_place(r, WF_SECTION_FORMAT, "registry_key");

    for (size_t i = 0; wf_config_usable(urls) && i < f->registry.n; i++)
        check_url(r, urls, f->registry.items[i]);
    if (wf_config_usable(password) && f->registry_password && !f->registry_user &&
        !wf_config_place(r, WF_SECTION_FORMAT, "registry_user")->bad)
        wf_config_problem(r, password->line, password->col,
                          "format.registry_password: needs format.registry_user");
    if (wf_config_usable(key) && f->registry_key && !f->registry_cert &&
        !wf_config_place(r, WF_SECTION_FORMAT, "registry_cert")->bad)
        wf_config_problem(r, key->line, key->col,
                          "format.registry_key: needs format.registry_cert");
}

/* Confluent framing carries a schema id, and ids come from a registry. */
static void check_framing(struct wf_config_reader *r)
{
    const struct wf_config *c = r->c;
    const struct wf_place *encoding = wf_config_place(r, WF_SECTION_FORMAT, "encoding");
    const struct wf_place *at = r->sink_type.line ? &r->sink_type : encoding;

    if (c->sink_ops->framing != WF_FRAME_CONFLUENT || c->sink_ops->json_only ||
        c->format.encoding != WF_ENC_AVRO || c->format.registry.n > 0)
        return;
    if (r->sink_type.bad || encoding->bad || wf_config_place(r, WF_SECTION_FORMAT, "registry")->bad)
        return;
    wf_config_problem(r, at->line, at->col,
                      "format.registry: sink %s with encoding avro needs a schema registry; hint: "
                      "set format.registry, or format.encoding: json",
                      c->sink_ops->name);
}

void wf_config_check(struct wf_config_reader *r)
{
    check_names(r);
    check_tables(r);
    check_topic(r);
    check_registry(r);
    check_framing(r);
    wf_config_check_lists(r);
}
