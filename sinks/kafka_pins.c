#include "kafka_pins.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "digest.h"

#define VERSION 1
#define FILE_NAME "topics"
#define FILE_MAX (32u << 20)
#define RECORD_MAX 4096
#define MAGIC "walferry topics 1\n"
#define SUM_LEN WF_SHA256_HEX
#define CURE "`walferry checkpoint topics FILE`"

struct wf_kafka_pins *wf_kafka_pins_new(const char *dir)
{
    struct wf_kafka_pins *p = calloc(1, sizeof(*p));

    if (!p || (dir && !(p->dir = strdup(dir)))) {
        free(p);
        return NULL;
    }
    p->last = &p->first;
    return p;
}

void wf_kafka_pins_clear(struct wf_kafka_pins *p)
{
    while (p->first) {
        struct wf_kafka_pin *pin = p->first;

        p->first = pin->next;
        free(pin);
    }
    p->last = &p->first;
    p->n = 0;
}

void wf_kafka_pins_free(struct wf_kafka_pins *p)
{
    if (!p)
        return;
    wf_kafka_pins_clear(p);
    free(p->dir);
    free(p);
}

static struct wf_kafka_pin *find(const struct wf_kafka_pins *p, const char *topic)
{
    struct wf_kafka_pin *pin = p->first;

    while (pin && strcmp(pin->name, topic) != 0)
        pin = pin->next;
    return pin;
}

struct wf_kafka_pin *wf_kafka_pins_find(const struct wf_kafka_pins *p, const char *topic)
{
    struct wf_kafka_pin *pin = find(p, topic);

    return pin && pin->partitions > 0 ? pin : NULL;
}

struct wf_kafka_pin *wf_kafka_pins_put(struct wf_kafka_pins *p, const char *topic, int partitions,
                                       const char *id)
{
    struct wf_kafka_pin *pin = find(p, topic);

    if (!pin) {
        if (p->n >= WF_PINS_MAX || strlen(topic) >= WF_PIN_NAME || !(pin = calloc(1, sizeof(*pin))))
            return NULL;
        memcpy(pin->name, topic, strlen(topic) + 1);
        *p->last = pin;
        p->last = &pin->next;
        p->n++;
    }
    pin->partitions = partitions;
    snprintf(pin->id, sizeof(pin->id), "%s", id);
    pin->kept = false;
    pin->missing_us = 0;
    return pin;
}

bool wf_kafka_pins_kept(const struct wf_kafka_pins *p)
{
    const struct wf_kafka_pin *pin = p->first;

    while (pin && pin->kept)
        pin = pin->next;
    return !pin;
}

void wf_kafka_pins_keep(struct wf_kafka_pins *p, bool kept)
{
    for (struct wf_kafka_pin *pin = p->first; pin; pin = pin->next)
        pin->kept = kept;
}

/* ---- comparing ---- */

enum wf_rc wf_kafka_pin_check(const struct wf_kafka_pin *pin, int partitions, const char *id,
                              struct wf_err *err)
{
    bool known = *id && *pin->id;

    if ((known && strcmp(id, pin->id) != 0) || (!known && partitions < pin->partitions))
        return wf_err_refuse(
            err, "topic_recreated",
            "topic %s was deleted and made anew: it has id %s and %d partitions, while that which "
            "walferry has published to had id %s and %d; what was published before is gone; hint: "
            "load the table anew where its readers need it, then go on with " CURE,
            pin->name, *id ? id : "unknown", partitions, *pin->id ? pin->id : "unknown",
            pin->partitions);
    if (partitions > pin->partitions)
        return wf_err_refuse(
            err, "topic_repartitioned",
            "topic %s has %d partitions, and %d when walferry began to publish there: most keys "
            "would go on in another partition, where their new events can be read before the old "
            "ones; hint: let the readers come to the end of the topic, then go on with " CURE
            "; to keep the order, make a new topic and load the table anew",
            pin->name, partitions, pin->partitions);
    return partitions < pin->partitions ? WF_AGAIN : WF_OK;
}

enum wf_rc wf_kafka_pin_gone(const struct wf_kafka_pin *pin, struct wf_err *err)
{
    return wf_err_refuse(
        err, "topic_deleted",
        "topic %s is gone, to which walferry has published (id %s, %d partitions): somebody "
        "deleted it, and what was published before with it; hint: load the table anew where its "
        "readers need it, then go on with " CURE,
        pin->name, *pin->id ? pin->id : "unknown", pin->partitions);
}

/* ---- records ---- */

void wf_kafka_pin_record(struct wf_buf *out, const struct wf_kafka_pin *pin)
{
    wf_buf_printf(out, "{\"version\":%d,\"topic\":\"%s\",\"partitions\":%d,\"id\":\"%s\"}", VERSION,
                  pin->name, pin->partitions, pin->id);
}

static bool is_made_of(const char *text, size_t max, const char *legal)
{
    size_t n = text ? strlen(text) : max + 1;

    return n <= max && strspn(text, legal) == n;
}

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool take_fields(json_t *object, struct wf_kafka_pin *out)
{
    const char *name = json_string_value(json_object_get(object, "topic"));
    const char *id = json_string_value(json_object_get(object, "id"));
    json_int_t partitions = json_integer_value(json_object_get(object, "partitions"));

    if (json_integer_value(json_object_get(object, "version")) != VERSION ||
        !is_made_of(name, WF_PIN_NAME - 1, LETTERS "._-") || !*name ||
        !is_made_of(id, WF_PIN_ID - 1, LETTERS "+/-_=") || partitions < 1 || partitions > INT32_MAX)
        return false;
    *out = (struct wf_kafka_pin){.partitions = (int)partitions};
    memcpy(out->name, name, strlen(name) + 1);
    memcpy(out->id, id, strlen(id) + 1);
    return true;
}

static enum wf_rc refuse(const char *where, struct wf_err *err)
{
    return wf_err_refuse(err, "topics_invalid",
                         "what is known of the topics cannot be read from %s, so nobody would "
                         "notice one that was made anew; hint: restore it, or pin the topics as "
                         "they are now with " CURE,
                         where);
}

enum wf_rc wf_kafka_pin_parse(const void *data, size_t len, struct wf_kafka_pin *out,
                              struct wf_err *err)
{
    json_t *object = len > RECORD_MAX ? NULL : json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
    bool good = json_is_object(object) && take_fields(object, out);

    json_decref(object);
    return good ? WF_OK : refuse("its record", err);
}

enum wf_rc wf_kafka_pins_sound(const struct wf_kafka_pins *p, struct wf_err *err)
{
    for (const struct wf_kafka_pin *pin = p->first; pin; pin = pin->next) {
        if (pin->partitions < 0)
            return refuse("their records in the checkpoint's topic", err);
    }
    return WF_OK;
}

/* ---- the file: lines, the last one is the checksum of those before ---- */

void wf_kafka_pins_text(const struct wf_kafka_pins *p, struct wf_buf *out)
{
    char sum[SUM_LEN + 1];

    wf_buf_init(out, FILE_MAX);
    wf_buf_str(out, MAGIC);
    for (const struct wf_kafka_pin *pin = p->first; pin; pin = pin->next) {
        if (pin->partitions <= 0)
            continue;
        wf_kafka_pin_record(out, pin);
        wf_buf_byte(out, '\n');
    }
    if (!out->failed && wf_sha256_hex(out->data, out->len, sum))
        wf_buf_printf(out, "sum %s\n", sum);
    else
        out->failed = true;
}

static bool take_lines(struct wf_kafka_pins *p, const char *at, const char *end)
{
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        struct wf_kafka_pin pin, *put;

        if (!stop || wf_kafka_pin_parse(at, (size_t)(stop - at), &pin, NULL) != WF_OK ||
            !(put = wf_kafka_pins_put(p, pin.name, pin.partitions, pin.id)))
            return false;
        put->kept = true;
        at = stop + 1;
    }
    return true;
}

enum wf_rc wf_kafka_pins_take(struct wf_kafka_pins *p, const void *text, size_t len,
                              struct wf_err *err)
{
    const size_t head = strlen(MAGIC), tail = 4 + SUM_LEN + 1;
    const char *s = text;
    char sum[SUM_LEN + 1];

    if (len < head + tail || memcmp(s, MAGIC, head) != 0 || !wf_sha256_hex(s, len - tail, sum) ||
        memcmp(s + len - tail, "sum ", 4) != 0 || memcmp(s + len - tail + 4, sum, SUM_LEN) != 0 ||
        s[len - 1] != '\n' || !take_lines(p, s + head, s + len - tail)) {
        wf_kafka_pins_clear(p);
        return refuse(p->dir ? p->dir : "the file", err);
    }
    return WF_OK;
}

/* A crash at any point leaves the old file or the new one. */
static enum wf_rc write_at(int dir_fd, const char *dir, const struct wf_buf *text,
                           struct wf_err *err)
{
    int fd = openat(dir_fd, FILE_NAME ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                    0600);
    size_t done = 0;
    ssize_t n = 0;

    if (fd < 0)
        return wf_err_sys(err, WF_RETRY, "cannot create %s/" FILE_NAME ".new", dir);
    while (done < text->len && (n = write(fd, text->data + done, text->len - done)) > 0)
        done += (size_t)n;
    if (n >= 0 && done < text->len)
        errno = ENOSPC;
    if (done < text->len || fsync(fd) < 0) {
        wf_err_sys(err, WF_RETRY, "cannot write %s/" FILE_NAME ".new", dir);
        close(fd);
        return WF_RETRY;
    }
    close(fd);
    if (renameat(dir_fd, FILE_NAME ".new", dir_fd, FILE_NAME) < 0 || fsync(dir_fd) < 0)
        return wf_err_sys(err, WF_RETRY, "cannot move %s/" FILE_NAME ".new into place", dir);
    return WF_OK;
}

enum wf_rc wf_kafka_pins_write(const char *dir, const struct wf_buf *text, struct wf_err *err)
{
    int dir_fd;
    enum wf_rc rc;

    if (text->failed)
        return wf_err_set(err, WF_RETRY, "memory", "out of memory");
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return wf_err_sys(err, WF_RETRY, "cannot open %s", dir);
    rc = write_at(dir_fd, dir, text, err);
    close(dir_fd);
    return rc;
}

static enum wf_rc read_all(int fd, struct wf_buf *out)
{
    unsigned char part[16384];
    ssize_t n;

    while ((n = read(fd, part, sizeof(part))) > 0 && !out->failed)
        wf_buf_put(out, part, (size_t)n);
    return n < 0 || out->failed ? WF_RETRY : WF_OK;
}

enum wf_rc wf_kafka_pins_load(struct wf_kafka_pins *p, struct wf_err *err)
{
    char path[4096];
    struct wf_buf text;
    enum wf_rc rc;
    int fd;

    if (!p->dir)
        return WF_OK;
    if (snprintf(path, sizeof(path), "%s/" FILE_NAME, p->dir) >= (int)sizeof(path))
        return wf_err_config(err, "state.dir: %s is too long", p->dir);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return WF_OK;
    if (fd < 0)
        return wf_err_sys(err, WF_FATAL, "cannot open %s", path);
    wf_buf_init(&text, FILE_MAX);
    rc = read_all(fd, &text);
    close(fd);
    rc = rc == WF_OK ? wf_kafka_pins_take(p, text.data, text.len, err)
                     : wf_err_set(err, WF_RETRY, "system", "cannot read %s", path);
    wf_buf_deinit(&text);
    return rc;
}
