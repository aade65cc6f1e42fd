#include "config_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "config_file.h"
#include "expand.h"
#include "log.h"
#include "plugins.h"
#include "secret.h"

#define VALUE_MAX 65535UL /* a long certificate chain fits */
#define NAME_MAX_LEN 160

/* The option that is being read. */
struct slot {
    const struct wf_opt *opt;
    void *conf;
    struct wf_place *place;
    char name[NAME_MAX_LEN]; /* "sink.linger" */
};

/* Record @err's text as a problem with the value at @node. */
static void bad_value(struct wf_config_reader *r, struct slot *s, const struct wf_yaml_node *node,
                      const struct wf_err *err)
{
    s->place->bad = true;
    wf_config_error(r, node, NULL, err);
}

bool wf_config_expand(struct wf_config_reader *r, const struct wf_yaml_node *node, const char *name,
                      struct wf_buf *out, struct wf_buf *origin)
{
    struct wf_err err;

    wf_buf_init(out, VALUE_MAX);
    wf_buf_init(origin, VALUE_MAX);
    if (wf_expand(node->text, out, origin, &err) != WF_OK) {
        wf_config_error(r, node, name, &err);
        return false;
    }
    wf_buf_byte(out, '\0');
    if (!out->failed)
        return true;
    wf_config_problem(r, node->line, node->col, "%s: longer than %lu bytes", name, VALUE_MAX - 1);
    return false;
}

static void wipe(struct wf_buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->len);
    wf_buf_deinit(b);
}

/* ---- secrets ---- */

static bool from_text(const struct wf_buf *origin, size_t start, size_t len)
{
    return len > 0 && memchr(origin->data + start, WF_FROM_TEXT, len) != NULL;
}

/* Whether the file itself, and not a variable, holds (a part of) a secret. */
static bool is_inline(const char *text, const struct wf_buf *origin, bool all_secret)
{
    size_t at = 0, start, len;

    if (all_secret)
        return from_text(origin, 0, origin->len);
    while (wf_secret_find(text, at, &start, &len)) {
        if (from_text(origin, start, len))
            return true;
        at = start + len;
    }
    return false;
}

/* Others who can read the file could read the secret. Return: false when that is so. */
static bool inline_allowed(struct wf_config_reader *r, struct slot *s,
                           const struct wf_yaml_node *node, const char *name)
{
    bool has_file_key = s->opt->type == WF_OPT_SECRET;

    if (!r->on_disk)
        return true;
    if (r->mode & 044) {
        s->place->bad = true;
        wf_config_problem(r, node->line, node->col,
                          "%s: a secret in a file that others can read (mode %04o); hint: chmod "
                          "600 the file, or use %s%s${VARIABLE}",
                          name, r->mode, has_file_key ? name : "", has_file_key ? "_file or " : "");
        return false;
    }
    wf_log(WF_LOG_WARN, "secret_inline", NULL,
           "%s:%u: %s: a secret in the configuration itself; hint: use %s%s${VARIABLE}", r->name,
           node->line, name, has_file_key ? name : "", has_file_key ? "_file or " : "");
    return true;
}

/* @path as the user wrote it, relative to the configuration's directory. */
static char *beside(const char *config, const char *path)
{
    const char *slash = strrchr(config, '/');
    char *full;

    if (*path == '/' || !slash)
        return strdup(path);
    return asprintf(&full, "%.*s/%s", (int)(slash - config), config, path) < 0 ? NULL : full;
}

/* One line end at the end of the file is the editor's, not the secret's. */
static enum wf_rc check_secret(struct wf_file *f, const char *path, struct wf_err *err)
{
    if (f->len > 0 && f->text[f->len - 1] == '\n')
        f->text[--f->len] = '\0';
    if (f->len > 0 && f->text[f->len - 1] == '\r')
        f->text[--f->len] = '\0';
    if (f->len == 0)
        return wf_err_config(err, "%s: is empty", path);
    if (memchr(f->text, '\0', f->len))
        return wf_err_config(err, "%s: holds a NUL byte", path);
    if (f->mode & 044)
        wf_log(WF_LOG_WARN, "secret_readable", NULL,
               "%s: others can read this secret (mode %04o); hint: chmod 600", path, f->mode);
    return WF_OK;
}

static enum wf_rc set_from_file(struct wf_config_reader *r, struct slot *s, const char *path,
                                struct wf_err *err)
{
    struct wf_file f = {0};
    enum wf_rc rc;
    char *full;

    if (!*path)
        return wf_err_config(err, "%s_file: must not be empty", s->name);
    if (!r->on_disk)
        return wf_err_config(err, "%s_file: only a configuration on disk may name files", s->name);
    full = beside(r->name, path);
    if (!full)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    rc = wf_file_read(full, VALUE_MAX - 1, &f, err);
    if (rc == WF_OK)
        rc = check_secret(&f, full, err);
    if (rc == WF_OK)
        rc = wf_opt_set(s->opt, s->conf, s->name, f.text, err);
    else
        wf_err_wrap(err, "%s_file", s->name);
    wf_file_free(&f);
    free(full);
    return rc;
}

/* ---- values by shape ---- */

enum role { ROLE_VALUE, ROLE_FILE, ROLE_ITEM, ROLE_ENTRY };

/* One scalar: the value itself, a file's path, an item of a list or an entry of a mapping. */
static void set_scalar(struct wf_config_reader *r, struct slot *s, const struct wf_yaml_node *node,
                       enum role role)
{
    struct wf_buf out, origin;
    char name[NAME_MAX_LEN + 80];
    bool secret = role == ROLE_ENTRY ? wf_secret_key(node->key)
                                     : role == ROLE_VALUE && s->opt->type == WF_OPT_SECRET;
    struct wf_err err;
    enum wf_rc rc = WF_OK;
    bool ok;

    snprintf(name, sizeof(name), "%s%s%s", s->name, role == ROLE_ENTRY ? "." : "",
             role == ROLE_ENTRY  ? wf_shown(node->key).s
             : role == ROLE_FILE ? "_file"
                                 : "");
    ok = wf_config_expand(r, node, name, &out, &origin);
    s->place->bad |= !ok;
    if (ok && is_inline((const char *)out.data, &origin, secret))
        ok = inline_allowed(r, s, node, name);
    if (ok && role == ROLE_FILE)
        rc = set_from_file(r, s, (const char *)out.data, &err);
    else if (ok && role == ROLE_ITEM)
        rc = wf_opt_list_add(s->opt, s->conf, s->name, (const char *)out.data, &err);
    else if (ok && role == ROLE_ENTRY)
        rc = wf_opt_map_add(
            s->opt, s->conf, s->name,
            &(struct wf_map_item){node->key, (char *)out.data, node->key_line, node->key_col},
            &err);
    else if (ok)
        rc = wf_opt_set(s->opt, s->conf, s->name, (const char *)out.data, &err);
    if (rc != WF_OK)
        bad_value(r, s, node, &err);
    wipe(&out);
    wf_buf_deinit(&origin);
}

static void set_children(struct wf_config_reader *r, struct slot *s,
                         const struct wf_yaml_node *node, enum role role)
{
    wf_opt_clear(s->opt, s->conf);
    for (const struct wf_yaml_node *child = node->first; child; child = child->next) {
        if (child->kind == WF_YAML_SCALAR) {
            set_scalar(r, s, child, role);
            continue;
        }
        s->place->bad = true;
        if (child->kind == WF_YAML_BAD)
            continue;
        wf_config_problem(r, child->line, child->col, "%s: each %s must be one word or text",
                          s->name, role == ROLE_ITEM ? "item" : "value");
    }
}

static void wrong_shape(struct wf_config_reader *r, struct slot *s, const struct wf_yaml_node *node)
{
    const char *wanted = s->opt->type == WF_OPT_MAP    ? "a mapping of keys to values"
                         : s->opt->type == WF_OPT_LIST ? "a list"
                                                       : "one value";
    const char *got = node->kind == WF_YAML_SEQ ? "a list"
                      : node->kind == WF_YAML_MAP
                          ? "a mapping; hint: a text with braces stands in quotes"
                          : "one value";

    s->place->bad = true;
    wf_config_problem(r, node->line, node->col, "%s: must be %s, not %s", s->name, wanted, got);
}

static void set_value(struct wf_config_reader *r, struct slot *s, const struct wf_yaml_node *node,
                      bool is_file)
{
    enum wf_opt_type type = s->opt->type;

    switch (node->kind) {
    case WF_YAML_BAD:
        s->place->bad = true;
        break;
    case WF_YAML_EMPTY:
        s->place->bad = true;
        wf_config_problem(r, node->key_line, node->key_col,
                          "%s%s: has no value; hint: give one, or remove the line", s->name,
                          is_file ? "_file" : "");
        break;
    case WF_YAML_SCALAR:
        if (type == WF_OPT_MAP)
            wrong_shape(r, s, node);
        else
            set_scalar(r, s, node, is_file ? ROLE_FILE : ROLE_VALUE);
        break;
    case WF_YAML_SEQ:
    case WF_YAML_MAP:
        if (type == WF_OPT_LIST && node->kind == WF_YAML_SEQ)
            set_children(r, s, node, ROLE_ITEM);
        else if (type == WF_OPT_MAP && node->kind == WF_YAML_MAP)
            set_children(r, s, node, ROLE_ENTRY);
        else
            wrong_shape(r, s, node);
        break;
    }
}

/* ---- keys ---- */

/* "password_file" stands for the row "password". */
static const struct wf_opt *find_file_key(const struct wf_opt *opts, const char *key)
{
    size_t n = strlen(key);

    if (n <= 5 || strcmp(key + n - 5, "_file") != 0)
        return NULL;
    for (; opts->key; opts++)
        if (opts->type == WF_OPT_SECRET && strlen(opts->key) == n - 5 &&
            strncmp(opts->key, key, n - 5) == 0)
            return opts;
    return NULL;
}

static bool knows(const struct wf_opt *opts, const char *key)
{
    return wf_opt_find(opts, key) || find_file_key(opts, key);
}

/* The sinks that know @key: "kafka" or "kafka, kinesis". */
static void sinks_with(const char *key, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; wf_sinks[i] && len < size; i++)
        if (knows(wf_config_sink_opts(wf_sinks[i]), key))
            len +=
                (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "", wf_sinks[i]->name);
}

static const char *section_with(const struct wf_config_reader *r, const char *key)
{
    for (size_t i = 0; i < WF_SECTIONS; i++)
        if (knows(r->sections[i].opts, key))
            return r->sections[i].name;
    return NULL;
}

static void unknown_key(struct wf_config_reader *r, enum wf_section_id id,
                        const struct wf_yaml_node *node)
{
    const struct wf_section *sec = &r->sections[id];
    struct wf_shown key = wf_shown(node->key);
    const char *section, *near;
    char sinks[128] = "";

    if (id == WF_SECTION_SINK)
        sinks_with(node->key, sinks, sizeof(sinks));
    section = section_with(r, node->key);
    near = wf_opt_nearest(sec->opts, node->key);
    if (!near && id == WF_SECTION_SINK &&
        wf_word_nearest((const char *[]){"type", NULL}, node->key))
        near = "type";
    if (*sinks)
        wf_config_problem(r, node->key_line, node->key_col,
                          "sink.%s: belongs to sink type %s, and this one is %s", key.s, sinks,
                          r->c->sink_ops->name);
    else if (section)
        wf_config_problem(r, node->key_line, node->key_col,
                          "%s.%s: unknown key; it belongs to the section %s", sec->name, key.s,
                          section);
    else if (near)
        wf_config_problem(r, node->key_line, node->key_col,
                          "%s.%s: unknown key; did you mean \"%s\"?", sec->name, key.s, near);
    else
        wf_config_problem(r, node->key_line, node->key_col,
                          "%s.%s: unknown key; hint: `walferry config docs` lists them", sec->name,
                          key.s);
}

static void apply_key(struct wf_config_reader *r, enum wf_section_id id,
                      const struct wf_yaml_node *node)
{
    const struct wf_section *sec = &r->sections[id];
    const struct wf_opt *opt = wf_opt_find(sec->opts, node->key);
    bool is_file = !opt && (opt = find_file_key(sec->opts, node->key)) != NULL;
    struct slot s = {.opt = opt, .conf = sec->conf};
    size_t row;

    if (!opt) {
        unknown_key(r, id, node);
        return;
    }
    row = (size_t)(opt - sec->opts);
    s.place = &r->place[id][row];
    snprintf(s.name, sizeof(s.name), "%s.%s", sec->name, opt->key);
    if (s.place->line) {
        wf_config_problem(r, node->key_line, node->key_col, "%s%s: given twice%s; first in line %u",
                          s.name, is_file ? "_file" : "",
                          opt->type == WF_OPT_SECRET ? " (as value or as file)" : "",
                          s.place->line);
        return;
    }
    *s.place = (struct wf_place){node->line, node->col, false};
    r->c->given[id] |= UINT64_C(1) << row;
    set_value(r, &s, node, is_file);
}

void wf_config_apply(struct wf_config_reader *r, enum wf_section_id id,
                     const struct wf_yaml_node *body)
{
    for (const struct wf_yaml_node *node = body->first; node; node = node->next)
        if (id != WF_SECTION_SINK || strcmp(node->key, "type") != 0)
            apply_key(r, id, node);
}
