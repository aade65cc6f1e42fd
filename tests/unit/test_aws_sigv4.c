/* Vectors of botocore's signer (fixtures/sigv4.json): header form and presigned URLs. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/sigv4.h"

#define PARAMS_MAX 8

static struct wf_sigv4 signer; /* one for all: its cached key must not outlive its scope */
static struct wf_buf out;

static json_t *load(void)
{
    json_error_t why;
    json_t *j = json_load_file(WF_SOURCE_DIR "/tests/unit/fixtures/sigv4.json", 0, &why);

    cr_assert_not_null(j, "%s", why.text);
    return j;
}

static const char *text(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

/* Percent-decodes in place. */
static void decode(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (*s == '%') {
            *to++ = (char)(digit(s[1]) << 4 | digit(s[2]));
            s += 2;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* The query of @url; @copy holds the texts. */
static size_t params_of(const char *url, char *copy, size_t size, struct wf_sigv4_param *params)
{
    const char *query = strchr(url, '?');
    char *at = copy;
    size_t n = 0;

    snprintf(copy, size, "%s", query ? query + 1 : "");
    while (*at) {
        char *end = at + strcspn(at, "&"), *value;
        bool last = !*end;

        *end = '\0';
        value = strchr(at, '=');
        cr_assert(value && n < PARAMS_MAX);
        *value++ = '\0';
        decode(at);
        decode(value);
        params[n++] = (struct wf_sigv4_param){at, value};
        at = last ? end : end + 1;
    }
    return n;
}

static size_t unbase64(const char *s, char *to)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, nbits = 0;
    size_t n = 0;

    for (; *s && *s != '='; s++) {
        bits = bits << 6 | (unsigned)(strchr(digits, *s) - digits);
        nbits += 6;
        if (nbits >= 8)
            to[n++] = (char)(bits >> (nbits -= 8));
    }
    return n;
}

/* As whoever calls the signer has to: without the scheme's own port. */
static void host_of(const char *url, char *host, size_t size)
{
    const char *at = strstr(url, "://") + 3;
    bool tls = strncmp(url, "https", 5) == 0;
    size_t n = strcspn(at, "/?");

    snprintf(host, size, "%.*s", (int)n, at);
    for (const char *own = tls ? ":443" : ":80"; n > strlen(own); own = "") {
        if (*own && strcmp(host + n - strlen(own), own) == 0)
            host[n - strlen(own)] = '\0';
        if (!*own)
            break;
    }
}

static void check(const json_t *v)
{
    char host[256], copy[512], body[16384];
    struct wf_sigv4_param params[PARAMS_MAX];
    const json_t *headers = json_object_get(v, "headers");
    bool header_form = strcmp(text(v, "kind"), "header") == 0;
    struct wf_sigv4_keys keys = {text(v, "access_key"), text(v, "secret_key"),
                                 text(v, "session_token")};
    struct wf_sigv4_request r = {.method = text(v, "method"),
                                 .host = host,
                                 .content_type = text(headers, "Content-Type"),
                                 .target = text(headers, "X-Amz-Target"),
                                 .params = params,
                                 .body = body,
                                 .region = text(v, "region"),
                                 .service = text(v, "service"),
                                 .date = text(v, "amz_date")};

    host_of(text(v, "url"), host, sizeof(host));
    r.nparams = params_of(text(v, "url"), copy, sizeof(copy), params);
    wf_buf_reset(&out);
    if (header_form) {
        r.body_len = unbase64(text(v, "body_base64"), body);
        cr_assert(wf_sigv4_sign(&signer, &keys, &r, &out));
    } else {
        cr_assert(wf_sigv4_presign(
            &signer, &keys, &r, (unsigned)json_integer_value(json_object_get(v, "expires")), &out));
    }
    wf_buf_byte(&out, '\0');
    if (header_form)
        cr_expect_str_eq((char *)out.data, text(v, "authorization"), "%s", text(v, "name"));
    else { /* a URL's parameters may stand in any order: ours is the canonical one */
        cr_expect_eq(out.len - 1, strlen(text(v, "presigned_url")), "%s", text(v, "name"));
        cr_expect(strstr((char *)out.data, text(v, "signature")), "%s", text(v, "name"));
    }
}

Test(sigv4, signs_as_botocore_does)
{
    json_t *file = load(), *vectors = json_object_get(file, "vectors");

    wf_buf_init(&out, 1 << 20);
    cr_assert_eq(json_array_size(vectors), 38);
    for (size_t i = 0; i < json_array_size(vectors); i++)
        check(json_array_get(vectors, i));
    wf_buf_deinit(&out);
    wf_sigv4_deinit(&signer);
    json_decref(file);
}

static struct wf_sigv4_request minimal(void)
{
    return (struct wf_sigv4_request){.method = "GET",
                                     .host = "example.amazonaws.com",
                                     .region = "us-east-1",
                                     .service = "service",
                                     .date = "20150830T123600Z"};
}

/* The kept key belongs to one secret: the same key id may get another. */
Test(sigv4, forgets_the_key_of_a_replaced_secret)
{
    struct wf_sigv4_request r = minimal();
    struct wf_sigv4_keys keys = {"AKIDEXAMPLE", "wrong", NULL};

    wf_buf_init(&out, 1 << 20);
    cr_assert(wf_sigv4_sign(&signer, &keys, &r, &out));
    wf_buf_reset(&out);
    keys.secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    cr_assert(wf_sigv4_sign(&signer, &keys, &r, &out));
    wf_buf_byte(&out, '\0');
    cr_expect(strstr((char *)out.data,
                     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"));
    wf_buf_deinit(&out);
    wf_sigv4_deinit(&signer);
}

Test(sigv4, refuses_what_does_not_fit)
{
    struct wf_sigv4_keys keys = {"AKIDEXAMPLE", "secret", NULL};
    struct wf_sigv4_request r = minimal();
    char longer[400];

    memset(longer, 'r', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    wf_buf_init(&out, 1 << 20);
    r.region = longer;
    cr_expect_not(wf_sigv4_sign(&signer, &keys, &r, &out));
    r = minimal();
    r.date = "2015";
    cr_expect_not(wf_sigv4_sign(&signer, &keys, &r, &out));
    r = minimal();
    keys.access_key = longer;
    cr_expect_not(wf_sigv4_presign(&signer, &keys, &r, 900, &out));
    wf_buf_deinit(&out);
    wf_sigv4_deinit(&signer);
}

Test(sigv4, writes_dates_in_utc)
{
    char date[WF_SIGV4_DATE];

    wf_sigv4_date(1440938160, date);
    cr_expect_str_eq(date, "20150830T123600Z");
}
