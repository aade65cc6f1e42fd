#include "yaml_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "secret.h"

struct frame {
    struct wf_yaml_node *node;
    char *key; /* MAP: read and waiting for its value */
    unsigned key_line, key_col;
};

struct reader {
    struct wf_yaml *y;
    const char *text;
    size_t len;
    wf_yaml_report report;
    void *arg;
    struct frame stack[WF_YAML_MAX_DEPTH];
    int depth;
    int documents;
};

static unsigned line_of(yaml_mark_t m)
{
    return (unsigned)m.line + 1;
}

static unsigned col_of(yaml_mark_t m)
{
    return (unsigned)m.column + 1;
}

static void report_at(const struct reader *r, yaml_mark_t m, const char *what)
{
    r->report(r->arg, line_of(m), col_of(m), what);
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* The byte at a mark, whose index counts characters and not bytes. */
static char byte_at(const struct reader *r, yaml_mark_t m)
{
    size_t chars = 0;

    for (size_t i = 0; i < r->len; i++) {
        if (is_continuation(r->text[i]))
            continue;
        if (chars++ == m.index)
            return r->text[i];
    }
    return '\0';
}

/* libyaml tells an undecodable byte by its offset in the text. */
static void report_byte(const struct reader *r, const yaml_parser_t *p)
{
    unsigned line = 1, col = 1;
    char what[160];

    for (size_t i = 0; i < p->problem_offset && i < r->len; i++) {
        if (r->text[i] == '\n') {
            line++;
            col = 1;
        } else if (!is_continuation(r->text[i])) {
            col++;
        }
    }
    snprintf(what, sizeof(what), "not a YAML text: %s (0x%02X); hint: the file must be plain UTF-8",
             p->problem ? p->problem : "undecodable byte", (unsigned)p->problem_value);
    r->report(r->arg, line, col, what);
}

static void report_syntax(const struct reader *r, const yaml_parser_t *p)
{
    char what[320];
    int n;

    if (p->error == YAML_READER_ERROR) {
        report_byte(r, p);
        return;
    }
    if (p->error == YAML_MEMORY_ERROR) {
        r->report(r->arg, 0, 0, "out of memory");
        return;
    }
    n = snprintf(what, sizeof(what), "not valid YAML: %s", p->problem);
    if (p->context && p->context_mark.line != p->problem_mark.line)
        n += snprintf(what + n, sizeof(what) - (size_t)n, " %s that starts in line %u", p->context,
                      line_of(p->context_mark));
    if (byte_at(r, p->problem_mark) == '\t')
        snprintf(what + n, sizeof(what) - (size_t)n, "; hint: indent with blanks, not tabs");
    else if (p->context && strstr(p->context, "alias"))
        snprintf(what + n, sizeof(what) - (size_t)n,
                 "; hint: a value that begins with * stands in quotes: \"*.*\"");
    report_at(r, p->problem_mark, what);
}

static struct wf_yaml_node *node_new(struct reader *r, enum wf_yaml_kind kind, yaml_mark_t m)
{
    struct wf_yaml_node *node;

    if (r->y->nodes >= WF_YAML_MAX_NODES) {
        report_at(r, m, "too many values in one file");
        return NULL;
    }
    node = calloc(1, sizeof(*node));
    if (!node) {
        report_at(r, m, "out of memory");
        return NULL;
    }
    r->y->nodes++;
    node->kind = kind;
    node->line = line_of(m);
    node->col = col_of(m);
    node->older = r->y->newest;
    r->y->newest = node;
    return node;
}

/* Hang a finished or just opened node into the container that is open. */
static void attach(struct reader *r, struct wf_yaml_node *node)
{
    struct frame *top = r->depth > 0 ? &r->stack[r->depth - 1] : NULL;

    if (!top) {
        r->y->root = node;
        return;
    }
    node->key = top->key;
    node->key_line = top->key_line;
    node->key_col = top->key_col;
    top->key = NULL;
    if (top->node->last)
        top->node->last->next = node;
    else
        top->node->first = node;
    top->node->last = node;
}

static bool expects_key(const struct reader *r)
{
    const struct frame *top = r->depth > 0 ? &r->stack[r->depth - 1] : NULL;

    return top && top->node->kind == WF_YAML_MAP && !top->key;
}

static bool open_container(struct reader *r, enum wf_yaml_kind kind, yaml_mark_t m)
{
    struct wf_yaml_node *node;

    if (expects_key(r)) {
        report_at(r, m, "a key must be one word, not a list or a mapping");
        return false;
    }
    if (r->depth == WF_YAML_MAX_DEPTH) {
        report_at(r, m, "nested deeper than 32 levels");
        return false;
    }
    node = node_new(r, kind, m);
    if (!node)
        return false;
    attach(r, node);
    r->stack[r->depth++] = (struct frame){.node = node};
    return true;
}

static void refuse_extras(const struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag,
                          yaml_mark_t m)
{
    if (anchor)
        report_at(r, m, "anchors (&name) are not used here; hint: write the value out");
    if (tag)
        report_at(r, m, "tags (!name) are not used here; hint: remove it, or quote the value");
}

static char *copy(const char *s)
{
    size_t n = strlen(s) + 1;
    char *out = malloc(n);

    return out ? memcpy(out, s, n) : NULL;
}

static bool is_nothing(const yaml_event_t *ev, const char *text)
{
    return ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static bool take_scalar(struct reader *r, const yaml_event_t *ev)
{
    const char *text = (const char *)ev->data.scalar.value;
    bool key = expects_key(r), nul = strlen(text) != ev->data.scalar.length;
    struct wf_yaml_node *node;
    char *own;

    if (nul)
        report_at(r, ev->start_mark, "holds a NUL character");
    own = copy(text);
    if (!own) {
        report_at(r, ev->start_mark, "out of memory");
        return false;
    }
    if (key) {
        struct frame *top = &r->stack[r->depth - 1];

        top->key = own;
        top->key_line = line_of(ev->start_mark);
        top->key_col = col_of(ev->start_mark);
        return !nul;
    }
    node = node_new(r, WF_YAML_SCALAR, ev->start_mark);
    if (!node) {
        wf_secret_free(own);
        return false;
    }
    node->text = own;
    if (nul)
        node->kind = WF_YAML_BAD;
    else if (is_nothing(ev, text))
        node->kind = WF_YAML_EMPTY;
    attach(r, node);
    return true;
}

static bool take_alias(struct reader *r, yaml_mark_t m)
{
    struct wf_yaml_node *node;

    report_at(r, m,
              "aliases (*name) are not used here; hint: a value that begins with * stands in "
              "quotes");
    if (expects_key(r))
        return false;
    node = node_new(r, WF_YAML_BAD, m);
    if (node)
        attach(r, node);
    return node != NULL;
}

/* Return: false when there is no going on. */
static bool take(struct reader *r, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (r->documents++ == 0)
            return true;
        report_at(r, ev->start_mark, "a second document; hint: one file holds one pipeline");
        return false;
    case YAML_SCALAR_EVENT:
        refuse_extras(r, ev->data.scalar.anchor, ev->data.scalar.tag, ev->start_mark);
        return take_scalar(r, ev);
    case YAML_SEQUENCE_START_EVENT:
        refuse_extras(r, ev->data.sequence_start.anchor, ev->data.sequence_start.tag,
                      ev->start_mark);
        return open_container(r, WF_YAML_SEQ, ev->start_mark);
    case YAML_MAPPING_START_EVENT:
        refuse_extras(r, ev->data.mapping_start.anchor, ev->data.mapping_start.tag, ev->start_mark);
        return open_container(r, WF_YAML_MAP, ev->start_mark);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        return true;
    case YAML_ALIAS_EVENT:
        return take_alias(r, ev->start_mark);
    default:
        return true;
    }
}

static bool read_events(struct reader *r, yaml_parser_t *p)
{
    for (;;) {
        yaml_event_t ev;
        bool end, go_on;

        if (!yaml_parser_parse(p, &ev)) {
            report_syntax(r, p);
            return false;
        }
        end = ev.type == YAML_STREAM_END_EVENT;
        go_on = end || take(r, &ev);
        yaml_event_delete(&ev);
        if (end || !go_on)
            return go_on;
    }
}

static bool is_utf16(const char *text, size_t len)
{
    return len >= 2 && (memcmp(text, "\xFF\xFE", 2) == 0 || memcmp(text, "\xFE\xFF", 2) == 0);
}

void wf_yaml_read(struct wf_yaml *y, const char *text, size_t len, wf_yaml_report report, void *arg)
{
    struct reader r = {.y = y, .text = text, .len = len, .report = report, .arg = arg};
    yaml_parser_t p;

    *y = (struct wf_yaml){0};
    if (len > WF_YAML_MAX_BYTES) {
        report(arg, 0, 0, "larger than 1 MiB: this is no configuration");
        return;
    }
    if (is_utf16(text, len)) {
        report(arg, 1, 1, "the text is UTF-16; hint: save it as UTF-8");
        return;
    }
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* libyaml would count it as a column */
        r.text = text += 3;
        r.len = len -= 3;
    }
    if (!yaml_parser_initialize(&p)) {
        report(arg, 0, 0, "out of memory");
        return;
    }
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, (const unsigned char *)(len ? text : ""), len);
    y->complete = read_events(&r, &p);
    yaml_parser_delete(&p);
    for (int i = 0; i < WF_YAML_MAX_DEPTH; i++)
        free(r.stack[i].key);
}

void wf_yaml_deinit(struct wf_yaml *y)
{
    struct wf_yaml_node *node = y->newest;

    while (node) {
        struct wf_yaml_node *older = node->older;

        wf_secret_free(node->text);
        free(node->key);
        free(node);
        node = older;
    }
    *y = (struct wf_yaml){0};
}
