#include "aws/sigv4.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DIGEST 32
#define DAY 8              /* digits of a date's day */
#define TEXT_MAX (1 << 20) /* session tokens have no limit of their own */

void wf_sigv4_date(int64_t unix_s, char out[WF_SIGV4_DATE])
{
    time_t t = (time_t)unix_s;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || strftime(out, WF_SIGV4_DATE, "%Y%m%dT%H%M%SZ", &tm) == 0)
        memcpy(out, "19700101T000000Z", WF_SIGV4_DATE);
}

void wf_sigv4_escape(struct wf_buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        unsigned char hex[3] = {'%'};

        if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
            strchr("-_.~", c)) {
            wf_buf_byte(out, c);
            continue;
        }
        wf_put_hex(hex + 1, &c, 1, WF_HEX_UPPER);
        wf_buf_put(out, hex, sizeof(hex));
    }
}

static void put_hex(struct wf_buf *b, const unsigned char digest[DIGEST])
{
    unsigned char hex[2 * DIGEST];

    wf_put_hex(hex, digest, DIGEST, WF_HEX_LOWER);
    wf_buf_put(b, hex, sizeof(hex));
}

static bool hmac(const unsigned char *key, size_t key_len, const char *text,
                 unsigned char out[DIGEST])
{
    unsigned n = DIGEST;

    return HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), out,
                &n) != NULL;
}

/* ---- the signing key, good for a day ---- */

static bool derive(unsigned char key[DIGEST], const char *secret, const struct wf_sigv4_request *r)
{
    struct wf_buf first;
    char day[DAY + 1];
    bool ok;

    wf_buf_init(&first, TEXT_MAX);
    wf_buf_str(&first, "AWS4");
    wf_buf_str(&first, secret);
    memcpy(day, r->date, DAY);
    day[DAY] = '\0';
    ok = !first.failed && hmac(first.data, first.len, day, key) &&
         hmac(key, DIGEST, r->region, key) && hmac(key, DIGEST, r->service, key) &&
         hmac(key, DIGEST, "aws4_request", key);
    if (first.data)
        explicit_bzero(first.data, first.len);
    wf_buf_deinit(&first);
    return ok;
}

static bool signing_key(struct wf_sigv4 *s, const char *secret, const struct wf_sigv4_request *r)
{
    unsigned char hash[DIGEST];
    char scope[sizeof(s->scope)];
    int n;

    if (strlen(r->date) != WF_SIGV4_DATE - 1)
        return false;
    n = snprintf(scope, sizeof(scope), "%.*s/%s/%s/aws4_request", DAY, r->date, r->region,
                 r->service);
    if (n < 0 || (size_t)n >= sizeof(scope))
        return false;
    SHA256((const unsigned char *)secret, strlen(secret), hash);
    if (strcmp(scope, s->scope) == 0 && memcmp(hash, s->secret, sizeof(hash)) == 0)
        return true;
    s->scope[0] = '\0';
    if (!derive(s->key, secret, r))
        return false;
    memcpy(s->scope, scope, sizeof(scope));
    memcpy(s->secret, hash, sizeof(hash));
    return true;
}

/* ---- the canonical request ---- */

/* A header's value in its canonical form: no blanks around, one for each run inside. */
static void put_header(struct wf_buf *b, const char *name, const char *value)
{
    if (!value)
        return;
    wf_buf_str(b, name);
    wf_buf_byte(b, ':');
    value += strspn(value, " ");
    while (*value) {
        size_t word = strcspn(value, " "), blanks = strspn(value + word, " ");

        wf_buf_put(b, value, word);
        value += word + blanks;
        if (*value)
            wf_buf_byte(b, ' ');
    }
    wf_buf_byte(b, '\n');
}

/* Of "name=value", encoded: nothing else than the first '=' is one. */
static int by_name_then_value(const void *a, const void *b)
{
    const char *x = (const char *)((const struct wf_buf *)a)->data;
    const char *y = (const char *)((const struct wf_buf *)b)->data;

    while (*x && *x == *y) {
        x++;
        y++;
    }
    if (*x == '=' || *y == '=') /* the name that ends here is less */
        return *x == '=' ? -1 : 1;
    return (unsigned char)*x - (unsigned char)*y;
}

static bool put_query(struct wf_buf *b, const struct wf_sigv4_param *params, size_t n)
{
    struct wf_buf pairs[WF_SIGV4_PARAMS_MAX];
    bool ok = true;

    if (n > WF_SIGV4_PARAMS_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        wf_buf_init(&pairs[i], TEXT_MAX);
        wf_sigv4_escape(&pairs[i], params[i].name);
        wf_buf_byte(&pairs[i], '=');
        wf_sigv4_escape(&pairs[i], params[i].value);
        wf_buf_byte(&pairs[i], '\0');
        ok = ok && !pairs[i].failed;
    }
    if (ok)
        qsort(pairs, n, sizeof(pairs[0]), by_name_then_value);
    for (size_t i = 0; i < n; i++) {
        if (ok && i)
            wf_buf_byte(b, '&');
        if (ok)
            wf_buf_str(b, (const char *)pairs[i].data);
        wf_buf_deinit(&pairs[i]);
    }
    return ok;
}

static void start_text(struct wf_sigv4 *s, const char *method)
{
    s->text.max = TEXT_MAX;
    wf_buf_reset(&s->text);
    wf_buf_str(&s->text, method);
    wf_buf_str(&s->text, "\n/\n");
}

static bool sign_text(struct wf_sigv4 *s, const struct wf_sigv4_request *r,
                      unsigned char signature[DIGEST])
{
    unsigned char hash[DIGEST], hex[2 * DIGEST + 1] = {0};
    char to_sign[sizeof(ALGORITHM) + WF_SIGV4_DATE + sizeof(s->scope) + sizeof(hex) + 4];

    SHA256((const unsigned char *)(r->body ? r->body : ""), r->body ? r->body_len : 0, hash);
    put_hex(&s->text, hash);
    if (s->text.failed)
        return false;
    SHA256(s->text.data, s->text.len, hash);
    wf_put_hex(hex, hash, DIGEST, WF_HEX_LOWER);
    snprintf(to_sign, sizeof(to_sign), ALGORITHM "\n%s\n%s\n%s", r->date, s->scope, hex);
    return hmac(s->key, DIGEST, to_sign, signature);
}

/* ---- the two forms ---- */

static void put_signed_names(struct wf_buf *b, const struct wf_sigv4_keys *keys,
                             const struct wf_sigv4_request *r)
{
    wf_buf_str(b, r->content_type ? "content-type;host;x-amz-date" : "host;x-amz-date");
    if (keys->token)
        wf_buf_str(b, ";x-amz-security-token");
    if (r->target)
        wf_buf_str(b, ";x-amz-target");
}

bool wf_sigv4_sign(struct wf_sigv4 *s, const struct wf_sigv4_keys *keys,
                   const struct wf_sigv4_request *r, struct wf_buf *out)
{
    unsigned char signature[DIGEST];

    if (!signing_key(s, keys->secret_key, r))
        return false;
    start_text(s, r->method);
    if (!put_query(&s->text, r->params, r->nparams))
        return false;
    wf_buf_byte(&s->text, '\n');
    put_header(&s->text, "content-type", r->content_type);
    put_header(&s->text, "host", r->host);
    put_header(&s->text, "x-amz-date", r->date);
    put_header(&s->text, "x-amz-security-token", keys->token);
    put_header(&s->text, "x-amz-target", r->target);
    wf_buf_byte(&s->text, '\n');
    put_signed_names(&s->text, keys, r);
    wf_buf_byte(&s->text, '\n');
    if (!sign_text(s, r, signature))
        return false;
    wf_buf_printf(out, ALGORITHM " Credential=%s/%s, SignedHeaders=", keys->access_key, s->scope);
    put_signed_names(out, keys, r);
    wf_buf_str(out, ", Signature=");
    put_hex(out, signature);
    return !out->failed;
}

bool wf_sigv4_presign(struct wf_sigv4 *s, const struct wf_sigv4_keys *keys,
                      const struct wf_sigv4_request *r, unsigned expires_s, struct wf_buf *out)
{
    struct wf_sigv4_param params[WF_SIGV4_PARAMS_MAX];
    char credential[sizeof(s->scope) + 160], expires[16];
    unsigned char signature[DIGEST];
    size_t n = r->nparams, query, query_len;
    int len;

    if (n + 6 > WF_SIGV4_PARAMS_MAX || !signing_key(s, keys->secret_key, r))
        return false;
    len = snprintf(credential, sizeof(credential), "%s/%s", keys->access_key, s->scope);
    if (len < 0 || (size_t)len >= sizeof(credential))
        return false;
    snprintf(expires, sizeof(expires), "%u", expires_s);
    for (size_t i = 0; i < n; i++)
        params[i] = r->params[i];
    params[n++] = (struct wf_sigv4_param){"X-Amz-Algorithm", ALGORITHM};
    params[n++] = (struct wf_sigv4_param){"X-Amz-Credential", credential};
    params[n++] = (struct wf_sigv4_param){"X-Amz-Date", r->date};
    params[n++] = (struct wf_sigv4_param){"X-Amz-Expires", expires};
    params[n++] = (struct wf_sigv4_param){"X-Amz-SignedHeaders", "host"};
    if (keys->token)
        params[n++] = (struct wf_sigv4_param){"X-Amz-Security-Token", keys->token};
    start_text(s, r->method);
    query = s->text.len;
    if (!put_query(&s->text, params, n))
        return false;
    query_len = s->text.len - query;
    wf_buf_byte(&s->text, '\n');
    put_header(&s->text, "host", r->host);
    wf_buf_str(&s->text, "\nhost\n");
    if (!sign_text(s, r, signature))
        return false;
    wf_buf_printf(out, "https://%s/?", r->host);
    wf_buf_put(out, s->text.data + query, query_len);
    wf_buf_str(out, "&X-Amz-Signature=");
    put_hex(out, signature);
    return !out->failed;
}

void wf_sigv4_deinit(struct wf_sigv4 *s)
{
    if (s->text.data)
        explicit_bzero(s->text.data, s->text.cap);
    wf_buf_deinit(&s->text);
    explicit_bzero(s, sizeof(*s));
}
