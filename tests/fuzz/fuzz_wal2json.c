/* A stream of messages, each after two bytes of length; length 0 is a new connection. The catalog's
 * answers follow the first byte of the input: none, or a table of three columns. */
#include "touch.h"

extern const struct wf_decoder_ops wf_decoder_wal2json;

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct wf_table *answer(unsigned char how)
{
    static const char *const names[] = {"id", "body", "note"};
    struct wf_table *t = calloc(1, sizeof(*t) + 3 * sizeof(t->cols[0]));

    if (!(how & 1))
        return t;
    t->oid = 16385;
    t->identity = how & 2 ? 'f' : 'd';
    t->lsn = how & 4 ? 1 : 0x2000;
    t->natts = 4;
    t->ncols = how & 8 ? 2 : 3;
    for (uint16_t i = 0; i < t->ncols; i++) {
        t->cols[i] = (struct wf_table_col){.name = names[i],
                                           .type = i ? "text" : "integer",
                                           .type_oid = i ? 25 : 23,
                                           .typmod = -1,
                                           .attnum = (uint16_t)(i + 1 + i / 2),
                                           .varlena = i > 0,
                                           .pk = !i,
                                           .key = !i};
    }
    return t;
}

/* Return: false after a malformed message, where the product stops. */
static int feed(struct wf_decoder *d, const unsigned char *data, size_t len, unsigned char how)
{
    char *exact = malloc(len ? len : 1);
    struct wf_msg msg = {.data = exact, .len = len, .start_lsn = 1};
    struct wf_change change;
    struct wf_err err = {0};
    enum wf_rc rc;

    memcpy(exact, data, len);
    rc = wf_decoder_wal2json.decode(d, &msg, &change, &err);
    if (rc == WF_AGAIN) {
        if (!wf_decoder_wal2json.asks(d))
            abort();
        touch_text(wf_decoder_wal2json.asks(d)->name);
        wf_decoder_wal2json.tell(d, answer(how));
        rc = wf_decoder_wal2json.decode(d, &msg, &change, &err);
        if (rc == WF_AGAIN)
            abort();
    }
    if (rc == WF_OK)
        touch_change(&change);
    else if ((rc != WF_FATAL || strcmp(err.code, "malformed") != 0)) /* never asked twice */
        abort();
    free(exact);
    return rc != WF_FATAL;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    unsigned char how = size ? *data : 0;
    const unsigned char *msg;
    struct wf_decoder *d;
    size_t len;

    data += size > 0;
    size -= size > 0;
    if (wf_decoder_wal2json.open(&d, NULL) != WF_OK)
        return 0;
    wf_decoder_wal2json.started(d, how >> 7);
    while (next_message(&data, &size, &msg, &len))
        if (!len || !feed(d, msg, len, how))
            wf_decoder_wal2json.reset(d, 0);
    wf_decoder_wal2json.close(d);
    return 0;
}
