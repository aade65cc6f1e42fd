/* A stream of messages, each after two bytes of length; length 0 is a new connection. */
#include "touch.h"

extern const struct wf_decoder_ops wf_decoder_pgoutput;

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Return: false after a malformed message, where the product stops. */
static int feed(struct wf_decoder *d, const unsigned char *data, size_t len)
{
    char *exact = malloc(len ? len : 1);
    struct wf_msg msg = {.data = exact, .len = len, .start_lsn = 1};
    struct wf_change change;
    struct wf_err err = {0};
    enum wf_rc rc;

    memcpy(exact, data, len);
    rc = wf_decoder_pgoutput.decode(d, &msg, &change, &err);
    if (rc == WF_OK)
        touch_change(&change);
    else if (rc != WF_AGAIN && (rc != WF_FATAL || strcmp(err.code, "malformed") != 0))
        abort();
    free(exact);
    return rc != WF_FATAL;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const unsigned char *msg;
    struct wf_decoder *d;
    size_t len;

    if (wf_decoder_pgoutput.open(&d, NULL) != WF_OK)
        return 0;
    while (next_message(&data, &size, &msg, &len))
        if (!len || !feed(d, msg, len))
            wf_decoder_pgoutput.reset(d, 0);
    wf_decoder_pgoutput.close(d);
    return 0;
}
