#include "headers.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define KEYS_MAX (8u << 20) /* at least, since JSON takes more than Avro; a guess */

/* A UUID of version 7 (RFC 9562, section 5.7): sorts by the start of the run. */
static void make_run_id(char out[37])
{
    unsigned char b[16] = {0};
    struct timespec now;
    uint64_t ms;

    clock_gettime(CLOCK_REALTIME, &now);
    ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
        memcpy(b + 8, &now.tv_nsec, sizeof(now.tv_nsec));
    for (unsigned i = 0; i < 6; i++)
        b[i] = (unsigned char)(ms >> (40 - 8 * i));
    b[6] = (unsigned char)(0x70 | (b[6] & 0x0f));
    b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
    for (unsigned i = 0, at = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        snprintf(out + at, 3, "%02x", b[i]);
        at += 2;
    }
}

static struct wf_header text_header(const char *name, const char *value)
{
    return (struct wf_header){name, (const unsigned char *)value, strlen(value)};
}

void wf_headers_init(struct wf_headers *h, const char *prefix, bool context, size_t max_event)
{
    *h = (struct wf_headers){0};
    wf_buf_init(&h->keys, max_event > KEYS_MAX ? max_event : KEYS_MAX);
    if (!context)
        return;
    make_run_id(h->run_id);
    h->ncontext = 4;
    for (unsigned set = 0; set < 3; set++) {
        h->sets[set][1] = text_header("__debezium.context.connectorLogicalName", prefix);
        h->sets[set][2] = text_header("__debezium.context.taskId", "0");
        h->sets[set][3] = text_header("__debezium.context.connectorName", "postgresql");
        h->sets[set][4] = text_header("__debezium.context.runId", h->run_id);
    }
}

void wf_headers_deinit(struct wf_headers *h)
{
    wf_buf_deinit(&h->keys);
}

void wf_headers_set_keys(struct wf_headers *h)
{
    h->sets[WF_KEY_HEADER_NEW][0] =
        (struct wf_header){"__debezium.newkey", h->keys.data, h->key_split};
    h->sets[WF_KEY_HEADER_OLD][0] = (struct wf_header){
        "__debezium.oldkey", h->keys.data + h->key_split, h->keys.len - h->key_split};
}
