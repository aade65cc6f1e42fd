#include <string.h>

#include "http.h"

#define SLICE_US 100000 /* between two looks at `stop` */

static void on_answer(struct wf_http_req *req)
{
    struct wf_http_reply *r = req->arg;

    r->done = true;
    r->status = req->status;
    memcpy(r->error, req->error, sizeof(r->error));
    wf_buf_put(&r->body, req->answer.data, req->answer.len);
}

enum wf_rc wf_http_ask(struct wf_http_req *req, size_t max, const atomic_bool *stop,
                       struct wf_http_reply *out, struct wf_err *err)
{
    struct wf_loop *loop = wf_loop_new(err);
    struct wf_http *http = loop ? wf_http_new(loop, err) : NULL;
    enum wf_rc rc = http ? WF_OK : WF_FATAL;

    *out = (struct wf_http_reply){0};
    wf_buf_init(&out->body, max);
    req->done = on_answer;
    req->arg = out;
    if (rc == WF_OK)
        rc = wf_http_start(http, req, err);
    while (rc == WF_OK && !out->done && !(stop && atomic_load(stop)))
        rc = wf_loop_turn(loop, SLICE_US, err);
    if (http && !out->done)
        wf_http_cancel(http, req);
    wf_http_free(http);
    wf_loop_free(loop);
    return rc;
}
