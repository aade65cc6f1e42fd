/* Two bytes of HTTP status, two of what was asked, then the body of a registry's answer. */
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

/* As if a text was asked about: the first byte says at which step, the second which id is known. */
static void ask_about(struct wf_registry *r, const unsigned char *data)
{
    r->schema = strdup("{\"type\":\"record\",\"name\":\"Key\",\"fields\":[]}");
    r->body = wf_registry_body(r->schema);
    r->table = strdup("public.t");
    snprintf(r->subject, sizeof(r->subject), "t-key");
    if (!r->schema || !r->body || !r->table)
        abort();
    r->step = (enum step)(data[0] % 5);
    r->key = data[1] & 1;
    r->remembered = r->step == STEP_VERIFY || r->step == STEP_PIN ? 7 : 0;
    r->answer_id = r->step == STEP_PIN ? 8 : 0; /* what was answered before */
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
    if (r->answer_rc == WF_AGAIN && !r->waiting && !r->busy)
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char url[] = "http://registry", *urls[] = {url};
    struct wf_format_conf conf = {.registry = {urls, 1}};
    struct wf_registry_env env;
    struct wf_registry *r;

    if (!loop) {
        wf_log_setup(WF_LOG_ERROR, false, NULL);
        loop = wf_loop_new(NULL);
        http = wf_http_new(loop, NULL);
    }
    env = (struct wf_registry_env){.conf = &conf, .http = http, .loop = loop};
    if (size < 4 || wf_registry_new(&r, &env, NULL) != WF_OK)
        return 0;
    ask_about(r, data + 2);
    answer(r, (long)(data[0] << 8 | data[1]) % 1000, data + 4, size - 4);
    wf_registry_free(r);
    return 0;
}
