#include "checkpoint_record.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "loop.h"
#include "lsn.h"

#define VERSION 1
#define LEN_MAX 65536

void wf_checkpoint_record(struct wf_buf *out, const struct wf_checkpoint *cp, const char *pipeline,
                          uint64_t events, const char *writer)
{
    wf_buf_printf(out, "{\"version\":%d,\"pipeline\":", VERSION);
    wf_buf_json_string(out, pipeline, strlen(pipeline));
    wf_buf_printf(out, ",\"system_id\":\"%" PRIu64 "\",\"timeline\":%u,\"slot\":", cp->system_id,
                  cp->timeline);
    wf_buf_json_string(out, cp->slot, strlen(cp->slot));
    wf_buf_printf(out, ",\"lsn\":\"%s\"", wf_lsn_text(cp->lsn).s);
    if (cp->instance)
        wf_buf_printf(out, ",\"instance\":%u", cp->instance);
    if (cp->split.final_lsn)
        wf_buf_printf(out,
                      ",\"split\":{\"commit_lsn\":\"%s\",\"changes\":\"%" PRIu64
                      "\",\"hash\":\"%" PRIu64 "\"}",
                      wf_lsn_text(cp->split.final_lsn).s, cp->split.changes, cp->split.hash);
    wf_buf_printf(out, ",\"events\":%" PRIu64 ",\"writer\":\"%s\",\"saved_us\":%" PRId64 "}",
                  events, writer, wf_wall_us());
}

/* A decimal number in a string: 64 bits do not fit everybody's JSON numbers. */
static bool get_number(json_t *object, const char *name, uint64_t *out)
{
    const char *text = json_string_value(json_object_get(object, name));
    char *end;

    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return !errno && !*end;
}

static bool get_lsn(json_t *object, const char *name, uint64_t *out)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text && wf_lsn_parse(text, out, NULL) == WF_OK;
}

static bool get_split(json_t *object, struct wf_split *out)
{
    json_t *split = json_object_get(object, "split");

    if (!split)
        return true;
    return get_lsn(split, "commit_lsn", &out->final_lsn) && out->final_lsn &&
           get_number(split, "changes", &out->changes) && out->changes &&
           get_number(split, "hash", &out->hash);
}

static const char *find_fault(json_t *object, struct wf_checkpoint *cp)
{
    const char *slot = json_string_value(json_object_get(object, "slot"));
    json_int_t timeline = json_integer_value(json_object_get(object, "timeline"));
    json_int_t instance = json_integer_value(json_object_get(object, "instance"));

    if (json_integer_value(json_object_get(object, "version")) != VERSION)
        return "its version is not known here";
    if (!slot || strlen(slot) >= sizeof(cp->slot))
        return "it names no slot";
    if (timeline <= 0 || timeline > UINT32_MAX || !get_number(object, "system_id", &cp->system_id))
        return "it names no system and timeline";
    if (!get_lsn(object, "lsn", &cp->lsn))
        return "its lsn cannot be read";
    if (!get_split(object, &cp->split))
        return "its split cannot be read";
    cp->timeline = (uint32_t)timeline;
    cp->instance = instance > 0 && instance <= UINT32_MAX ? (uint32_t)instance : 0;
    cp->saved_us = json_integer_value(json_object_get(object, "saved_us"));
    memcpy(cp->slot, slot, strlen(slot) + 1);
    return NULL;
}

enum wf_rc wf_checkpoint_parse(const void *data, size_t len, struct wf_checkpoint *cp,
                               struct wf_err *err)
{
    json_t *object = len > LEN_MAX ? NULL : json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
    const char *fault;

    *cp = (struct wf_checkpoint){.state = WF_CHECKPOINT_ACTIVE};
    fault = json_is_object(object) ? find_fault(object, cp) : "it is no JSON object";
    json_decref(object);
    if (fault)
        return wf_err_refuse(err, "checkpoint_invalid",
                             "the sink's checkpoint cannot be used: %s; hint: somebody else wrote "
                             "there, or a newer walferry did; set the position with `walferry "
                             "checkpoint set FILE LSN`",
                             fault);
    return WF_OK;
}
