#include "option.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "secret.h"

#define LIST_MAX 4096
#define MAP_MAX 256

struct unit {
    const char *name;
    int64_t factor;
};

/* The first of equal factors is the one we suggest. */
static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};
static const struct unit size_units[] = {
    {"", 1},         {"KiB", 1LL << 10}, {"MiB", 1LL << 20}, {"GiB", 1LL << 30}, {"kB", 1000},
    {"MB", 1000000}, {"GB", 1000000000}, {"B", 1},           {NULL, 0},
};

static void *field_of(const struct wf_opt *opt, void *conf)
{
    return (char *)conf + opt->field;
}

static const void *field_in(const struct wf_opt *opt, const void *conf)
{
    return (const char *)conf + opt->field;
}

static enum wf_rc no_memory(struct wf_err *err)
{
    return wf_err_set(err, WF_FATAL, "memory", "out of memory");
}

const struct wf_opt *wf_opt_find(const struct wf_opt *opts, const char *key)
{
    for (; opts->key; opts++)
        if (strcmp(opts->key, key) == 0)
            return opts;
    return NULL;
}

/* ---- numbers ---- */

static bool digits(const char *text, int64_t *value, const char **rest)
{
    char *end;

    if (!isdigit((unsigned char)text[*text == '-' || *text == '+']))
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    *rest = end;
    return errno == 0;
}

/* "64MiB", "5s": a number, perhaps blanks, a unit of the table in exact letters. */
static bool with_unit(const struct unit *units, const char *text, int64_t *value)
{
    const char *rest;

    if (!digits(text, value, &rest) || *value < 0)
        return false;
    while (*rest == ' ')
        rest++;
    if (*value == 0 && !*rest)
        return true; /* nothing is nothing in every unit */
    for (; units->name; units++)
        if (strcmp(units->name, rest) == 0)
            return !__builtin_mul_overflow(*value, units->factor, value);
    return false;
}

static bool number(const struct wf_opt *opt, const char *text, int64_t *value)
{
    const char *rest;

    if (opt->type == WF_OPT_TIME)
        return with_unit(time_units, text, value);
    if (opt->type == WF_OPT_SIZE)
        return with_unit(size_units, text, value);
    return digits(text, value, &rest) && !*rest;
}

/* What the user may have meant: "5" is "5s", "64mb" is "64MiB". Empty when there is no telling. */
static void guess_unit(const struct wf_opt *opt, const char *text, char *out, size_t size)
{
    const struct unit *units = opt->type == WF_OPT_TIME ? time_units : size_units;
    const char *rest;
    int64_t value;

    out[0] = '\0';
    if (opt->type == WF_OPT_INT || !digits(text, &value, &rest) || value < 0)
        return;
    while (*rest == ' ')
        rest++;
    if (!*rest && opt->type == WF_OPT_TIME) {
        snprintf(out, size, "; did you mean \"%llds\"?", (long long)value);
        return;
    }
    for (; *rest && units->name; units++)
        if (tolower(*units->name) == tolower(*rest)) {
            snprintf(out, size, "; did you mean \"%lld%s\"?", (long long)value, units->name);
            return;
        }
}

static enum wf_rc set_number(const struct wf_opt *opt, int64_t *field, const char *name,
                             const char *text, struct wf_err *err)
{
    static const char *const kinds[] = {
        [WF_OPT_INT] = "a whole number",
        [WF_OPT_SIZE] = "a size such as 512, 64KiB or 8MiB",
        [WF_OPT_TIME] = "a time such as 500ms, 5s, 10m, 2h or 1d",
    };
    int64_t value, limit;
    char guess[64];

    if (!number(opt, text, &value)) {
        guess_unit(opt, text, guess, sizeof(guess));
        return wf_err_config(err, "%s: \"%s\" is not %s%s", name, wf_shown(text).s,
                             kinds[opt->type], guess);
    }
    if (opt->max && number(opt, opt->max, &limit) && value > limit)
        return wf_err_config(err, "%s: %s is above the maximum of %s", name, wf_shown(text).s,
                             opt->max);
    if (opt->min && number(opt, opt->min, &limit) && value < limit)
        return wf_err_config(err, "%s: %s is below the minimum of %s", name, wf_shown(text).s,
                             opt->min);
    *field = value;
    return WF_OK;
}

/* ---- the other types ---- */

static enum wf_rc set_text(const struct wf_opt *opt, char **field, const char *name,
                           const char *text, struct wf_err *err)
{
    char *own = NULL;

    if (!*text && (opt->required || opt->dflt))
        return wf_err_config(err, "%s: must not be empty", name);
    if (*text && !(own = strdup(text)))
        return no_memory(err);
    wf_secret_free(*field);
    *field = own; /* "" is as good as unset: "${VAR:-}" switches an option off */
    return WF_OK;
}

static enum wf_rc set_bool(bool *field, const char *name, const char *text, struct wf_err *err)
{
    static const char *const words[] = {"off", "on", "false", "true", "no", "yes"};

    for (size_t i = 0; i < 6; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *field = i % 2 == 1;
            return WF_OK;
        }
    return wf_err_config(err, "%s: \"%s\" is neither on nor off", name, wf_shown(text).s);
}

static enum wf_rc set_enum(const struct wf_opt *opt, int *field, const char *name, const char *text,
                           struct wf_err *err)
{
    const char *near;
    char all[256] = "";

    for (int i = 0; opt->choices[i]; i++) {
        size_t len = strlen(all);

        if (strcmp(opt->choices[i], text) == 0) {
            *field = i;
            return WF_OK;
        }
        snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "", opt->choices[i]);
    }
    near = wf_word_nearest(opt->choices, text);
    return wf_err_config(err, "%s: \"%s\" is not %s%s%s%s%s", name, wf_shown(text).s,
                         opt->choices[0] && opt->choices[1] ? "one of " : "", all,
                         near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

enum wf_rc wf_opt_list_add(const struct wf_opt *opt, void *conf, const char *name, const char *text,
                           struct wf_err *err)
{
    struct wf_list *list = field_of(opt, conf);
    char **items, *own;

    if (!*text)
        return wf_err_config(err, "%s: an item must not be empty", name);
    if (list->n == LIST_MAX)
        return wf_err_config(err, "%s: more than %d items", name, LIST_MAX);
    items = realloc(list->items, (list->n + 1) * sizeof(*items));
    if (!items)
        return no_memory(err);
    list->items = items;
    own = strdup(text);
    if (!own)
        return no_memory(err);
    items[list->n++] = own;
    return WF_OK;
}

enum wf_rc wf_opt_map_add(const struct wf_opt *opt, void *conf, const char *name,
                          const struct wf_map_item *item, struct wf_err *err)
{
    struct wf_map *map = field_of(opt, conf);
    struct wf_map_item *items, own = *item;

    for (size_t i = 0; i < map->n; i++)
        if (strcmp(map->items[i].key, item->key) == 0)
            return wf_err_config(err, "%s.%s: given twice; first in line %u", name,
                                 wf_shown(item->key).s, map->items[i].line);
    if (map->n == MAP_MAX)
        return wf_err_config(err, "%s: more than %d entries", name, MAP_MAX);
    items = realloc(map->items, (map->n + 1) * sizeof(*items));
    if (!items)
        return no_memory(err);
    map->items = items;
    own.key = strdup(item->key);
    own.value = strdup(item->value);
    if (!own.key || !own.value) {
        free(own.key);
        wf_secret_free(own.value);
        return no_memory(err);
    }
    items[map->n++] = own;
    return WF_OK;
}

enum wf_rc wf_opt_set(const struct wf_opt *opt, void *conf, const char *name, const char *text,
                      struct wf_err *err)
{
    void *field = field_of(opt, conf);

    switch (opt->type) {
    case WF_OPT_STR:
    case WF_OPT_SECRET:
        return set_text(opt, field, name, text, err);
    case WF_OPT_BOOL:
        return set_bool(field, name, text, err);
    case WF_OPT_ENUM:
        return set_enum(opt, field, name, text, err);
    case WF_OPT_INT:
    case WF_OPT_SIZE:
    case WF_OPT_TIME:
        return set_number(opt, field, name, text, err);
    case WF_OPT_LIST:
        wf_opt_clear(opt, conf);
        return *text ? wf_opt_list_add(opt, conf, name, text, err) : WF_OK;
    case WF_OPT_MAP:
        break;
    }
    return wf_err_config(err, "%s: must be a mapping of keys to values", name);
}

/* ---- life of the fields ---- */

void wf_opt_clear(const struct wf_opt *opt, void *conf)
{
    void *field = field_of(opt, conf);

    if (opt->type == WF_OPT_STR || opt->type == WF_OPT_SECRET) {
        wf_secret_free(*(char **)field);
        *(char **)field = NULL;
    } else if (opt->type == WF_OPT_LIST) {
        struct wf_list *list = field;

        for (size_t i = 0; i < list->n; i++)
            wf_secret_free(list->items[i]);
        free(list->items);
        *list = (struct wf_list){0};
    } else if (opt->type == WF_OPT_MAP) {
        struct wf_map *map = field;

        for (size_t i = 0; i < map->n; i++) {
            free(map->items[i].key);
            wf_secret_free(map->items[i].value);
        }
        free(map->items);
        *map = (struct wf_map){0};
    } else if (opt->type == WF_OPT_BOOL) {
        *(bool *)field = false;
    } else if (opt->type == WF_OPT_ENUM) {
        *(int *)field = 0;
    } else {
        *(int64_t *)field = 0;
    }
}

enum wf_rc wf_opts_defaults(const struct wf_opt *opts, void *conf, struct wf_err *err)
{
    for (; opts->key; opts++) {
        enum wf_rc rc = WF_OK;

        wf_opt_clear(opts, conf);
        if (opts->dflt)
            rc = wf_opt_set(opts, conf, opts->key, opts->dflt, err);
        if (rc != WF_OK)
            return rc;
    }
    return WF_OK;
}

void wf_opts_free(const struct wf_opt *opts, void *conf)
{
    for (; opts->key; opts++)
        wf_opt_clear(opts, conf);
}

/* ---- printing ---- */

/* Plain when that is safe in block and in flow style, else in double quotes. */
static void print_text(struct wf_buf *out, const char *text)
{
    struct wf_buf masked;
    const char *s;
    size_t plain;

    wf_buf_init(&masked, out->max);
    wf_secret_mask(text, &masked);
    wf_buf_byte(&masked, '\0');
    if (masked.failed) {
        out->failed = true;
        wf_buf_deinit(&masked);
        return;
    }
    s = (const char *)masked.data;
    plain = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-");
    if (*s && !s[plain] && *s != '-' && strcmp(s, "null") != 0) {
        wf_buf_str(out, s);
    } else {
        wf_buf_byte(out, '"');
        for (; *s; s++) {
            if (*s == '$')
                wf_buf_byte(out, '$');
            wf_buf_json(out, s, 1);
        }
        wf_buf_byte(out, '"');
    }
    wf_buf_deinit(&masked);
}

/* In the largest unit that leaves no remainder; decimal ones are for reading only. */
static void print_unit(struct wf_buf *out, const struct unit *units, size_t n, int64_t value)
{
    const struct unit *best = units;

    for (size_t i = 1; i < n; i++)
        if (value && value % units[i].factor == 0)
            best = &units[i];
    wf_buf_printf(out, "%lld%s", (long long)(value / best->factor), best->name);
}

static bool print_list(struct wf_buf *out, const struct wf_list *list)
{
    if (list->n == 0)
        return false;
    wf_buf_byte(out, '[');
    for (size_t i = 0; i < list->n; i++) {
        wf_buf_str(out, i ? ", " : "");
        print_text(out, list->items[i]);
    }
    wf_buf_byte(out, ']');
    return true;
}

static bool print_map(struct wf_buf *out, const struct wf_map *map)
{
    if (map->n == 0)
        return false;
    wf_buf_byte(out, '{');
    for (size_t i = 0; i < map->n; i++) {
        const struct wf_map_item *item = &map->items[i];

        wf_buf_str(out, i ? ", " : "");
        print_text(out, item->key);
        wf_buf_str(out, ": ");
        print_text(out, wf_secret_key(item->key) ? WF_SECRET_MASK : item->value);
    }
    wf_buf_byte(out, '}');
    return true;
}

bool wf_opt_print(const struct wf_opt *opt, const void *conf, struct wf_buf *out)
{
    const void *field = field_in(opt, conf);
    const char *text;

    switch (opt->type) {
    case WF_OPT_STR:
    case WF_OPT_SECRET:
        text = *(char *const *)field;
        if (text)
            print_text(out, opt->type == WF_OPT_SECRET ? WF_SECRET_MASK : text);
        return text != NULL;
    case WF_OPT_BOOL:
        wf_buf_str(out, *(const bool *)field ? "on" : "off");
        return true;
    case WF_OPT_ENUM:
        wf_buf_str(out, opt->choices[*(const int *)field]);
        return true;
    case WF_OPT_INT:
        wf_buf_printf(out, "%lld", (long long)*(const int64_t *)field);
        return true;
    case WF_OPT_SIZE:
        print_unit(out, size_units, 4, *(const int64_t *)field);
        return true;
    case WF_OPT_TIME:
        print_unit(out, time_units, 5, *(const int64_t *)field);
        return true;
    case WF_OPT_LIST:
        return print_list(out, field);
    case WF_OPT_MAP:
        return print_map(out, field);
    }
    return false;
}
