/* Two bytes of HTTP status, then the body of a registry's answer to a registration. */
#include "../../src/registry.c" /* on_answer() is the way in that needs no server */

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct wf_loop *loop;
static struct wf_http *http;

static void check_text(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ')
            abort();
    }
}

static void answer(struct wf_registry *r, long status, const unsigned char *body, size_t len)
{
    struct wf_http_req req = {.status = status, .arg = r};

    wf_buf_init(&req.answer, 4 << 20);
    wf_buf_put(&req.answer, body, len);
    on_answer(&req);
    wf_buf_deinit(&req.answer);
    if (r->answer_rc == WF_OK && r->answer_id <= 0)
        abort();
    if (r->answer_rc == WF_REJECT)
        check_text(r->answer_err.text);
    check_text(r->trouble);
    if (r->answer_rc == WF_AGAIN && !r->waiting)
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char url[] = "http://registry", *urls[] = {url};
    struct wf_format_conf conf = {.registry = {urls, 1}};
    struct wf_registry *r;

    if (!loop) {
        wf_log_setup(WF_LOG_ERROR, false, NULL);
        loop = wf_loop_new(NULL);
        http = wf_http_new(loop, NULL);
    }
    if (size < 2 || wf_registry_new(&r, &conf, http, loop, NULL) != WF_OK)
        return 0;
    answer(r, (long)(data[0] << 8 | data[1]) % 1000, data + 2, size - 2);
    wf_registry_free(r);
    return 0;
}
