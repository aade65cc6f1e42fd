#include "registry_wire.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "schema_guard.h"

const char *const wf_registry_headers[] = {
    "Content-Type: application/vnd.schemaregistry.v1+json",
    "Accept: application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, "
    "application/json",
    NULL,
};

void wf_registry_url(char *out, size_t size, const char *base, const char *path)
{
    int len = (int)strlen(base);

    while (len && base[len - 1] == '/')
        len--;
    snprintf(out, size, "%.*s/%s", len, base, path);
}

void wf_registry_escape(char *out, size_t size, const char *subject)
{
    size_t n = 0;

    for (; *subject && n + 4 < size; subject++) {
        unsigned char c = (unsigned char)*subject;

        if (isalnum(c) || strchr("-._~", c))
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, size - n, "%%%02X", c);
    }
    out[n] = '\0';
}

char *wf_registry_body(const char *schema)
{
    json_t *body = json_pack("{s:s}", "schema", schema);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

    json_decref(body);
    return text;
}

enum wf_rc wf_registry_subject(const struct wf_format_conf *conf, const char *topic,
                               const char *schema, bool key, char *out, struct wf_err *err)
{
    struct wf_buf name;
    enum wf_rc rc = WF_OK;

    wf_buf_init(&name, WF_SUBJECT_MAX - 1);
    if (conf->subject_mode != WF_SUBJECT_RECORD)
        wf_buf_str(&name, topic);
    if (conf->subject_mode == WF_SUBJECT_TOPIC)
        wf_buf_str(&name, key ? "-key" : "-value");
    else if (conf->subject_mode == WF_SUBJECT_TOPIC_RECORD)
        wf_buf_byte(&name, '-');
    if (name.failed && wf_buf_starved())
        rc = wf_err_set(err, WF_FATAL, "memory", "out of memory");
    else if (name.failed ||
             (conf->subject_mode != WF_SUBJECT_TOPIC && !wf_guard_record_name(schema, &name)))
        rc = wf_err_set(err, WF_REJECT, "subject_name",
                        "the subject of topic %s is longer than %d bytes; hint: another "
                        "format.subject_name_strategy, or a shorter topic",
                        topic, WF_SUBJECT_MAX - 1);
    else
        snprintf(out, WF_SUBJECT_MAX, "%.*s", (int)name.len, (char *)name.data);
    wf_buf_deinit(&name);
    return rc;
}
