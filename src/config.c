#include "config_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "config_file.h"
#include "plugins.h"

#define PROBLEMS_MAX 100 /* further ones are counted, not told */

/* ---- problems ---- */

void wf_config_problem(struct wf_config_reader *r, unsigned line, unsigned col, const char *fmt,
                       ...)
{
    struct wf_problem *p;
    va_list ap;

    r->total++;
    if (r->nproblems == PROBLEMS_MAX)
        return;
    if (!r->problems)
        r->problems = calloc(PROBLEMS_MAX, sizeof(*r->problems));
    if (!r->problems) {
        r->no_memory = true;
        return;
    }
    p = &r->problems[r->nproblems];
    p->line = line;
    p->col = col;
    va_start(ap, fmt);
    if (vasprintf(&p->text, fmt, ap) >= 0)
        r->nproblems++;
    else
        r->no_memory = true;
    va_end(ap);
}

void wf_config_error(struct wf_config_reader *r, const struct wf_yaml_node *node, const char *name,
                     const struct wf_err *err)
{
    r->no_memory |= strcmp(err->code, "memory") == 0;
    wf_config_problem(r, node->line, node->col, "%s%s%s", name ? name : "", name ? ": " : "",
                      err->text);
}

static void yaml_problem(void *arg, unsigned line, unsigned col, const char *what)
{
    struct wf_config_reader *r = arg;

    r->no_memory |= strcmp(what, "out of memory") == 0;
    wf_config_problem(r, line, col, "%s", what);
}

/* In the order of the file. Insertion sort: stable, and there are at most a hundred. */
static void sort_problems(struct wf_config_reader *r)
{
    for (size_t i = 1; i < r->nproblems; i++) {
        struct wf_problem p = r->problems[i];
        size_t at = i;

        while (at > 0 &&
               (r->problems[at - 1].line > p.line ||
                (r->problems[at - 1].line == p.line && r->problems[at - 1].col > p.col))) {
            r->problems[at] = r->problems[at - 1];
            at--;
        }
        r->problems[at] = p;
    }
}

static void tell_line(const struct wf_config_reader *r, const struct wf_problem *p, char **out)
{
    int n = p->line ? asprintf(out, "%s:%u:%u: %s", r->name, p->line, p->col, p->text)
                    : asprintf(out, "%s: %s", r->name, p->text);

    if (n < 0)
        *out = NULL;
}

/* Every problem to @report; the summary, or the first of them, to @err. */
static enum wf_rc tell_problems(struct wf_config_reader *r, wf_config_report report, void *arg,
                                struct wf_err *err)
{
    char *line = NULL;
    char more[64] = "";

    sort_problems(r);
    if (report) {
        wf_err_config(err, "%s: %zu problem%s", r->name, r->total, r->total == 1 ? "" : "s");
    } else {
        if (r->total > 1)
            snprintf(more, sizeof(more), " (and %zu more problems)", r->total - 1);
        if (r->nproblems > 0)
            tell_line(r, &r->problems[0], &line);
        wf_err_config(err, "%s%s", line ? line : "out of memory", more);
        free(line);
    }
    for (size_t i = 0; report && i < r->nproblems; i++) {
        tell_line(r, &r->problems[i], &line);
        if (line)
            report(arg, line);
        free(line);
    }
    if (report && r->total > r->nproblems) {
        snprintf(more, sizeof(more), "... and %zu more", r->total - r->nproblems);
        report(arg, more);
    }
    return WF_FATAL;
}

static void free_problems(struct wf_config_reader *r)
{
    for (size_t i = 0; i < r->nproblems; i++)
        free(r->problems[i].text);
    free(r->problems);
}

/* ---- the tree's upper two levels ---- */

static int section_id(const struct wf_config_reader *r, const char *name)
{
    for (int i = 0; i < WF_SECTIONS; i++)
        if (strcmp(r->sections[i].name, name) == 0)
            return i;
    return -1;
}

static void unknown_section(struct wf_config_reader *r, const struct wf_yaml_node *node)
{
    const char *names[WF_SECTIONS + 1] = {NULL};
    struct wf_shown key = wf_shown(node->key);
    const char *near;

    for (size_t i = 0; i < WF_SECTIONS; i++)
        names[i] = r->sections[i].name;
    near = wf_word_nearest(names, node->key);
    for (size_t i = 0; !near && i < WF_SECTIONS; i++)
        if (wf_opt_find(r->sections[i].opts, node->key)) {
            wf_config_problem(r, node->key_line, node->key_col,
                              "%s: unknown section; hint: it is a key of the section %s", key.s,
                              names[i]);
            return;
        }
    for (size_t i = 0; !near && wf_sinks[i]; i++)
        if (wf_opt_find(wf_config_sink_opts(wf_sinks[i]), node->key)) {
            wf_config_problem(r, node->key_line, node->key_col,
                              "%s: unknown section; hint: it is a key of the section sink", key.s);
            return;
        }
    if (near)
        wf_config_problem(r, node->key_line, node->key_col,
                          "%s: unknown section; did you mean \"%s\"?", key.s, near);
    else
        wf_config_problem(r, node->key_line, node->key_col,
                          "%s: unknown section; there are source, sink, format, state and log",
                          key.s);
}

/* Find the mappings of the sections; @body[id] stays NULL for what is absent or unusable. */
static void find_sections(struct wf_config_reader *r, const struct wf_yaml_node *root,
                          const struct wf_yaml_node *body[WF_SECTIONS])
{
    if (!root || root->kind == WF_YAML_EMPTY || root->kind == WF_YAML_BAD)
        return;
    if (root->kind != WF_YAML_MAP) {
        wf_config_problem(r, root->line, root->col,
                          "this is no configuration: a file begins with a section such as "
                          "\"source:\"");
        return;
    }
    for (const struct wf_yaml_node *node = root->first; node; node = node->next) {
        int id = section_id(r, node->key);

        if (id < 0) {
            unknown_section(r, node);
        } else if (r->section_place[id].line) {
            wf_config_problem(r, node->key_line, node->key_col, "%s: given twice; first in line %u",
                              node->key, r->section_place[id].line);
        } else {
            r->section_place[id] = (struct wf_place){node->key_line, node->key_col, false};
            if (node->kind == WF_YAML_MAP)
                body[id] = node;
            else if (node->kind != WF_YAML_EMPTY)
                r->section_place[id].bad = true;
            if (node->kind == WF_YAML_SCALAR || node->kind == WF_YAML_SEQ)
                wf_config_problem(r, node->line, node->col,
                                  "%s: must be a mapping of keys to values", node->key);
        }
    }
}

/* ---- the sink ---- */

static const struct wf_sink_ops *default_sink(void)
{
    const struct wf_sink_ops *ops = wf_config_sink_find(wf_config_sink_type()->dflt);

    return ops ? ops : wf_sinks[0];
}

static const struct wf_sink_ops *sink_by_type(struct wf_config_reader *r,
                                              const struct wf_yaml_node *type)
{
    const struct wf_sink_ops *ops = NULL;
    struct wf_buf text, origin;
    struct wf_err err;
    int unused;

    if (type->kind == WF_YAML_BAD)
        return NULL;
    /* a plain null is the sink of that name */
    if (type->kind != WF_YAML_SCALAR && (type->kind != WF_YAML_EMPTY || !*type->text)) {
        wf_config_problem(r, type->line, type->col, "sink.type: must be one word");
        return NULL;
    }
    if (wf_config_expand(r, type, "sink.type", &text, &origin)) {
        const char *name = (const char *)text.data;
        struct wf_opt opt = *wf_config_sink_type();

        opt.field = 0;
        if (wf_opt_set(&opt, &unused, "sink.type", name, &err) == WF_OK)
            ops = wf_config_sink_find(name);
        else
            wf_config_error(r, type, NULL, &err);
    }
    wf_buf_deinit(&text);
    wf_buf_deinit(&origin);
    return ops;
}

static void choose_sink(struct wf_config_reader *r, const struct wf_yaml_node *body)
{
    const struct wf_yaml_node *type = NULL;

    for (const struct wf_yaml_node *node = body ? body->first : NULL; node; node = node->next) {
        if (strcmp(node->key, "type") != 0)
            continue;
        if (type)
            wf_config_problem(r, node->key_line, node->key_col,
                              "sink.type: given twice; first in line %u", type->key_line);
        else
            type = node;
    }
    if (type) {
        r->sink_type = (struct wf_place){type->line, type->col, false};
        r->c->sink_ops = sink_by_type(r, type);
        r->sink_type.bad = !r->c->sink_ops;
    }
    if (!r->c->sink_ops)
        r->c->sink_ops = default_sink();
}

/* ---- one reading ---- */

static void check_required(struct wf_config_reader *r)
{
    for (size_t i = 0; i < WF_SECTIONS; i++) {
        const struct wf_place *sec = &r->section_place[i];
        const struct wf_opt *opts = r->sections[i].opts;

        if (sec->bad || (i == WF_SECTION_SINK && r->sink_type.bad))
            continue;
        for (size_t row = 0; opts[row].key; row++)
            if (opts[row].required && !r->place[i][row].line)
                wf_config_problem(r, sec->line ? sec->line : 1, sec->line ? sec->col : 1,
                                  "%s.%s: is required", r->sections[i].name, opts[row].key);
    }
}

static enum wf_rc set_defaults(struct wf_config_reader *r, struct wf_err *err)
{
    struct wf_config *c = r->c;
    enum wf_rc rc = WF_OK;

    c->sink = calloc(1, c->sink_ops->conf_size ? c->sink_ops->conf_size : 1);
    if (!c->sink)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    wf_config_sections(c, r->sections);
    for (size_t i = 0; i < WF_SECTIONS && rc == WF_OK; i++)
        rc = wf_opts_defaults(r->sections[i].opts, r->sections[i].conf, err);
    return rc;
}

/* An empty file is a mapping without keys; a list is no configuration at all. */
static bool has_sections(const struct wf_yaml_node *root)
{
    return !root || root->kind == WF_YAML_EMPTY || root->kind == WF_YAML_MAP;
}

/* Everything from the text to a checked configuration; problems go to @r. */
static enum wf_rc read_text(struct wf_config_reader *r, const char *text, size_t len,
                            struct wf_err *err)
{
    const struct wf_yaml_node *body[WF_SECTIONS] = {NULL};
    struct wf_yaml yaml;
    enum wf_rc rc;

    wf_config_sections(r->c, r->sections); /* names for the first look, sink options come later */
    wf_yaml_read(&yaml, text, len, yaml_problem, r);
    find_sections(r, yaml.root, body);
    choose_sink(r, body[WF_SECTION_SINK]);
    rc = set_defaults(r, err);
    for (int i = 0; rc == WF_OK && i < WF_SECTIONS; i++)
        if (body[i] && !(i == WF_SECTION_SINK && r->sink_type.bad))
            wf_config_apply(r, (enum wf_section_id)i, body[i]);
    if (rc == WF_OK)
        rc = wf_config_derive(r->c, err);
    if (rc == WF_OK && yaml.complete && has_sections(yaml.root)) {
        check_required(r);
        wf_config_check(r);
    }
    wf_yaml_deinit(&yaml);
    return rc;
}

/* "/etc/walferry/shop.yaml" is the pipeline "shop". */
static enum wf_rc name_pipeline(struct wf_config_reader *r)
{
    static const char legal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *base = strrchr(r->name, '/');
    size_t n;

    base = base ? base + 1 : r->name;
    n = strlen(base);
    if (n > 5 && strcmp(base + n - 5, ".yaml") == 0)
        n -= 5;
    else if (n > 4 && strcmp(base + n - 4, ".yml") == 0)
        n -= 4;
    r->c->path = strdup(r->name);
    r->c->pipeline = strndup(base, n);
    if (!r->c->path || !r->c->pipeline)
        return WF_FATAL;
    if (n < 1 || n > 64 || *base == '.' || strspn(r->c->pipeline, legal) != n)
        wf_config_problem(r, 0, 0,
                          "the file's name is the pipeline's: 1 to 64 letters, digits, dots, _ or "
                          "-, not beginning with a dot");
    return WF_OK;
}

static enum wf_rc finish(struct wf_config_reader *r, enum wf_rc rc, struct wf_config **out,
                         wf_config_report report, void *arg, struct wf_err *err)
{
    if (rc == WF_OK && (r->no_memory || wf_buf_starved()))
        rc = wf_err_set(err, WF_FATAL, "memory", "%s: out of memory", r->name);
    if (rc == WF_OK && r->total > 0)
        rc = tell_problems(r, report, arg, err);
    free_problems(r);
    if (rc == WF_OK)
        *out = r->c;
    else
        wf_config_free(r->c);
    return rc;
}

static enum wf_rc start(struct wf_config_reader *r, struct wf_err *err)
{
    wf_buf_starved();
    r->c = calloc(1, sizeof(*r->c));
    if (!r->c || name_pipeline(r) != WF_OK)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    return WF_OK;
}

enum wf_rc wf_config_parse(const char *name, const char *text, size_t len, struct wf_config **out,
                           wf_config_report report, void *arg, struct wf_err *err)
{
    struct wf_config_reader r = {.name = name};
    enum wf_rc rc = start(&r, err);

    *out = NULL;
    if (rc == WF_OK)
        rc = read_text(&r, text, len, err);
    return finish(&r, rc, out, report, arg, err);
}

enum wf_rc wf_config_load(const char *path, struct wf_config **out, wf_config_report report,
                          void *arg, struct wf_err *err)
{
    struct wf_config_reader r = {.name = path, .on_disk = true};
    struct wf_file file = {0};
    enum wf_rc rc;

    *out = NULL;
    rc = wf_file_read(path, WF_YAML_MAX_BYTES, &file, err);
    if (rc != WF_OK)
        return rc;
    r.mode = file.mode;
    rc = start(&r, err);
    if (rc == WF_OK)
        rc = read_text(&r, file.text, file.len, err);
    wf_file_free(&file);
    return finish(&r, rc, out, report, arg, err);
}

void wf_config_free(struct wf_config *c)
{
    struct wf_section sections[WF_SECTIONS];

    if (!c)
        return;
    wf_config_sections(c, sections);
    for (size_t i = 0; i < WF_SECTIONS; i++)
        if (i != WF_SECTION_SINK || c->sink)
            wf_opts_free(sections[i].opts, sections[i].conf);
    free(c->sink);
    free(c->path);
    free(c->pipeline);
    free(c);
}

size_t wf_config_largest(const struct wf_config *c)
{
    size_t own = (size_t)c->format.max_event;
    size_t sink = c->sink && c->sink_ops->largest ? c->sink_ops->largest(c->sink) : own;

    return sink < own ? sink : own;
}
