#include "config_parts.h"

#include "plugins.h"

/* JSON Schema, draft 2020-12. Any scalar may be a text with ${VAR}: editors cannot know its value.
 * Limits of numbers stay out for the same reason as units: a pattern cannot compare them. */

#define INDENT "      "

static void put_string(struct wf_buf *out, const char *text)
{
    wf_buf_byte(out, '"');
    wf_buf_json(out, text, strlen(text));
    wf_buf_byte(out, '"');
}

/* The members that say which values a row takes. */
static void put_type(struct wf_buf *out, const struct wf_opt *opt)
{
    static const char *const types[] = {
        [WF_OPT_STR] = "text",   [WF_OPT_SECRET] = "text", [WF_OPT_BOOL] = "switch",
        [WF_OPT_INT] = "number", [WF_OPT_SIZE] = "size",   [WF_OPT_TIME] = "time",
        [WF_OPT_LIST] = "list",  [WF_OPT_MAP] = "map",
    };

    if (opt->type != WF_OPT_ENUM) {
        wf_buf_printf(out, "\"$ref\": \"#/$defs/%s\"", types[opt->type]);
        return;
    }
    wf_buf_str(out, "\"anyOf\": [{\"enum\": [");
    for (size_t i = 0; opt->choices[i]; i++) {
        wf_buf_str(out, i ? ", " : "");
        put_string(out, opt->choices[i]);
    }
    wf_buf_str(out, "]}, {\"$ref\": \"#/$defs/variable\"}]");
}

static void put_option(struct wf_buf *out, const struct wf_opt *opt, bool more)
{
    wf_buf_printf(out, INDENT "    \"%s\": {", opt->key);
    put_type(out, opt);
    wf_buf_str(out, ", \"description\": ");
    put_string(out, opt->help ? opt->help : "");
    if (opt->dflt) {
        wf_buf_str(out, ", \"default\": ");
        put_string(out, opt->dflt);
    }
    wf_buf_str(out, "}");
    if (opt->type == WF_OPT_SECRET)
        wf_buf_printf(out,
                      ",\n" INDENT "    \"%s_file\": {\"$ref\": \"#/$defs/text\", \"description\": "
                      "\"File that holds %s.\"}",
                      opt->key, opt->key);
    wf_buf_str(out, more ? ",\n" : "\n");
}

/* One mapping. @type: the sink's `type`, NULL for the other sections. */
static void put_mapping(struct wf_buf *out, const struct wf_opt *opts, const char *type)
{
    bool type_required = type && strcmp(type, wf_config_sink_type()->dflt) != 0;
    size_t required = 0;

    wf_buf_str(out, INDENT "  \"additionalProperties\": false,\n" INDENT "  \"properties\": {\n");
    if (type)
        wf_buf_printf(out, INDENT "    \"type\": {\"const\": \"%s\"}%s\n", type,
                      opts->key ? "," : "");
    for (const struct wf_opt *o = opts; o->key; o++)
        put_option(out, o, o[1].key);
    wf_buf_str(out, INDENT "  }");
    for (const struct wf_opt *o = opts; o->key; o++)
        if (o->required && o->type != WF_OPT_SECRET)
            wf_buf_printf(out, "%s\"%s\"", required++ ? ", " : ",\n" INDENT "  \"required\": [",
                          o->key);
    if (type_required)
        wf_buf_printf(out, "%s\"type\"", required++ ? ", " : ",\n" INDENT "  \"required\": [");
    wf_buf_str(out, required ? "]\n" : "\n");
}

static void put_sinks(struct wf_buf *out)
{
    wf_buf_str(out, "      \"oneOf\": [\n");
    for (size_t i = 0; wf_sinks[i]; i++) {
        wf_buf_str(out, INDENT "{\n" INDENT "  \"description\": ");
        put_string(out, wf_sinks[i]->help);
        wf_buf_str(out, ",\n");
        put_mapping(out, wf_config_sink_opts(wf_sinks[i]), wf_sinks[i]->name);
        wf_buf_printf(out, INDENT "}%s\n", wf_sinks[i + 1] ? "," : "");
    }
    wf_buf_str(out, "      ]\n");
}

/* $ and { are written as classes: "\\$" would need a second round of escapes. */
static const char definitions[] =
    "  \"$defs\": {\n"
    "    \"variable\": {\"type\": \"string\", \"pattern\": \"[$][{]\"},\n"
    "    \"text\": {\"type\": [\"string\", \"number\"]},\n"
    "    \"switch\": {\"anyOf\": [{\"type\": \"boolean\"}, {\"enum\": [\"on\", \"off\", \"yes\", "
    "\"no\", \"true\", \"false\"]}, {\"$ref\": \"#/$defs/variable\"}]},\n"
    "    \"number\": {\"anyOf\": [{\"type\": \"integer\"}, {\"$ref\": \"#/$defs/variable\"}]},\n"
    "    \"size\": {\"anyOf\": [{\"type\": \"integer\", \"minimum\": 0}, {\"type\": \"string\", "
    "\"pattern\": \"^[0-9]+ *(B|KiB|MiB|GiB|kB|MB|GB)?$\"}, {\"$ref\": \"#/$defs/variable\"}]},\n"
    "    \"time\": {\"anyOf\": [{\"const\": 0}, {\"type\": \"string\", \"pattern\": \"^([0-9]+ "
    "*(ms|s|m|h|d)|0)$\"}, {\"$ref\": \"#/$defs/variable\"}]},\n"
    "    \"list\": {\"anyOf\": [{\"$ref\": \"#/$defs/text\"}, {\"type\": \"array\", \"items\": "
    "{\"$ref\": \"#/$defs/text\"}}]},\n"
    "    \"map\": {\"type\": \"object\", \"additionalProperties\": {\"type\": [\"string\", "
    "\"number\", \"boolean\"]}}\n"
    "  }\n";

void wf_config_schema(struct wf_buf *out)
{
    struct wf_section sections[WF_SECTIONS];

    wf_config_sections(NULL, sections);
    wf_buf_str(out, "{\n"
                    "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                    "  \"title\": \"walferry pipeline\",\n"
                    "  \"description\": \"Made by `walferry config schema` from the option "
                    "tables.\",\n"
                    "  \"type\": \"object\",\n"
                    "  \"additionalProperties\": false,\n"
                    "  \"required\": [\"source\"],\n"
                    "  \"properties\": {\n");
    for (size_t i = 0; i < WF_SECTIONS; i++) {
        wf_buf_printf(out, "    \"%s\": {\n      \"description\": ", sections[i].name);
        put_string(out, sections[i].help);
        wf_buf_str(out, ",\n      \"type\": ");
        /* a section whose keys are all commented out is null */
        wf_buf_str(out, i == WF_SECTION_SOURCE ? "\"object\",\n" : "[\"object\", \"null\"],\n");
        if (i == WF_SECTION_SINK)
            put_sinks(out);
        else
            put_mapping(out, sections[i].opts, NULL);
        wf_buf_printf(out, "    }%s\n", i + 1 < WF_SECTIONS ? "," : "");
    }
    wf_buf_str(out, "  },\n");
    wf_buf_str(out, definitions);
    wf_buf_str(out, "}\n");
}
