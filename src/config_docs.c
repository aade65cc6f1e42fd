#include "config_parts.h"

#include "plugins.h"

/* ---- config show ---- */

static void show_option(const struct wf_opt *opt, const void *conf, bool given, struct wf_buf *out)
{
    size_t start = out->len;

    wf_buf_printf(out, "  %s: ", opt->key);
    if (wf_opt_print(opt, conf, out)) {
        wf_buf_str(out, given ? "\n" : " # default\n");
        return;
    }
    out->len = start;
    wf_buf_printf(out, "  # %s: not set\n", opt->key);
}

void wf_config_show(const struct wf_config *c, struct wf_buf *out)
{
    struct wf_config shape = *c; /* the sections want a non-const one; nothing is written */
    struct wf_section sections[WF_SECTIONS];

    wf_config_sections(&shape, sections);
    wf_buf_printf(out, "# pipeline %s as read from %s; secrets are hidden\n", c->pipeline, c->path);
    for (size_t i = 0; i < WF_SECTIONS; i++) {
        const struct wf_opt *opts = sections[i].opts;

        wf_buf_printf(out, "%s:\n", sections[i].name);
        if (i == WF_SECTION_SINK)
            wf_buf_printf(out, "  type: %s\n", c->sink_ops->name);
        for (size_t row = 0; opts[row].key; row++)
            show_option(&opts[row], sections[i].conf, c->given[i] >> row & 1, out);
    }
}

/* ---- config docs ---- */

static const char *type_text(enum wf_opt_type type)
{
    static const char *const texts[] = {
        [WF_OPT_STR] = "text",    [WF_OPT_SECRET] = "secret",      [WF_OPT_BOOL] = "`on` or `off`",
        [WF_OPT_INT] = "number",  [WF_OPT_SIZE] = "size",          [WF_OPT_TIME] = "time",
        [WF_OPT_ENUM] = "one of", [WF_OPT_LIST] = "list of texts", [WF_OPT_MAP] = "mapping",
    };

    return texts[type];
}

/* Inside a table's cell a bar would end it. */
static void put_cell(struct wf_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            wf_buf_byte(out, '\\');
        wf_buf_byte(out, (unsigned char)*text);
    }
}

static void put_type(struct wf_buf *out, const struct wf_opt *opt)
{
    bool one = opt->type == WF_OPT_ENUM && opt->choices[0] && !opt->choices[1];

    wf_buf_str(out, one ? "always" : type_text(opt->type));
    for (size_t i = 0; opt->type == WF_OPT_ENUM && opt->choices[i]; i++)
        wf_buf_printf(out, "%s`%s`", i ? ", " : " ", opt->choices[i]);
    if (opt->min && opt->max)
        wf_buf_printf(out, ", %s to %s", opt->min, opt->max);
    else if (opt->min)
        wf_buf_printf(out, ", at least %s", opt->min);
    else if (opt->max)
        wf_buf_printf(out, ", at most %s", opt->max);
}

static void put_default(struct wf_buf *out, const struct wf_opt *opt)
{
    if (opt->required)
        wf_buf_str(out, "**required**");
    else if (opt->dflt_note)
        put_cell(out, opt->dflt_note);
    else if (opt->dflt)
        wf_buf_printf(out, "`%s`", opt->dflt);
    else
        wf_buf_str(out, "not set");
}

static void put_row(struct wf_buf *out, const struct wf_opt *opt)
{
    wf_buf_printf(out, "| `%s`", opt->key);
    if (opt->type == WF_OPT_SECRET)
        wf_buf_printf(out, " or `%s_file`", opt->key);
    wf_buf_str(out, " | ");
    put_type(out, opt);
    wf_buf_str(out, " | ");
    put_default(out, opt);
    wf_buf_str(out, " | ");
    put_cell(out, opt->help ? opt->help : "");
    wf_buf_str(out, " |\n");
}

static void put_table(struct wf_buf *out, const struct wf_opt *opts)
{
    if (!opts->key)
        return;
    wf_buf_str(out, "| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
    for (; opts->key; opts++)
        put_row(out, opts);
    wf_buf_byte(out, '\n');
}

static const char preamble[] =
    "# Options\n\n"
    "<!-- Made by `walferry config docs` from the option tables: change those. -->\n\n"
    "One YAML file describes one pipeline, and the file's name is the pipeline's: "
    "`/etc/walferry/shop.yaml` is\nthe pipeline `shop`. An annotated file with every option is "
    "`conf/walferry.yaml`.\n\n"
    "- **Text** is taken as it stands. `${VAR}` is replaced by an environment variable, "
    "`${VAR:-x}` by `x` when\n  the variable is unset or empty; `$$` is a dollar sign. An empty "
    "text switches an optional key off.\n"
    "- **Time** has a unit: `500ms`, `5s`, `10m`, `2h`, `1d`.\n"
    "- **Size** is in bytes or has a unit: `512`, `64KiB`, `8MiB`, `1GiB`; `kB`, `MB`, `GB` are "
    "powers of ten.\n"
    "- **Secret** is best given as `<key>_file`, the path of a file that holds it, relative to the "
    "configuration's\n  directory; with systemd's `LoadCredential=` as "
    "`${CREDENTIALS_DIRECTORY}/name`. Written into the file itself it is\n  refused when others "
    "can read that file.\n"
    "- **List** is a YAML list, or one text.\n"
    "- `{pipeline}` in a default is the pipeline's name; in a slot's name other letters than `a-z "
    "0-9 "
    "_` become `_`.\n"
    "- Anchors, aliases, tags and a second document are refused; unknown or repeated keys are "
    "errors.\n\n";

void wf_config_docs(struct wf_buf *out)
{
    static const struct wf_opt end = {.key = NULL};
    const struct wf_opt type[] = {*wf_config_sink_type(), end};
    struct wf_section sections[WF_SECTIONS];

    wf_config_sections(NULL, sections);
    wf_buf_str(out, preamble);
    for (size_t i = 0; i < WF_SECTIONS; i++) {
        wf_buf_printf(out, "## %s\n\n%s\n\n", sections[i].name, sections[i].help);
        put_table(out, i == WF_SECTION_SINK ? type : sections[i].opts);
        for (size_t s = 0; i == WF_SECTION_SINK && wf_sinks[s]; s++) {
            wf_buf_printf(out, "### sink: %s\n\n%s.\n\n", wf_sinks[s]->name, wf_sinks[s]->help);
            put_table(out, wf_config_sink_opts(wf_sinks[s]));
        }
    }
    while (out->len > 1 && out->data[out->len - 1] == '\n' && out->data[out->len - 2] == '\n')
        out->len--;
}
