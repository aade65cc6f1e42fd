/* The deterministic simulator: walferry's own code in a world that one seed decides. */
#ifndef WF_SIM_H
#define WF_SIM_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "config.h"
#include "kafka_conf.h"
#include "loop.h"
#include "worker.h"

#define SIM_NEVER UINT64_MAX
#define SIM_DAEMONS 2
#define SIM_WORKERS 2
#define SIM_PARTITIONS 2
#define SIM_ITEMS 16
#define SIM_CHANGES 12 /* of one transaction, at most */
#define SIM_HEARTBEAT UINT32_MAX
#define SIM_SPLIT_ROOM 4096

/* ---- one thread of a daemon ---- */

struct sim_co {
    jmp_buf env, base;
    ucontext_t context;
    char *stack;
    bool made, active;
    uint64_t wake_us;
    struct sim_daemon *daemon;
    void (*fn)(void *arg);
    void *arg;
};

struct wf_worker {
    struct sim_co *co;
    struct wf_job *queue, *running, *finished;
    bool stop, ended;
};

struct wf_loop {
    struct wf_timer *timers;
    uint32_t socket_events; /* what it watches the connection for */
};

enum sim_exit { SIM_RUNS, SIM_KILLED, SIM_STOPPED, SIM_FAILED };

struct sim_daemon {
    char name;
    struct wf_config config;
    struct wf_kafka_conf kafka;
    struct sim_co main, workers[SIM_WORKERS];
    struct wf_worker worker_of[SIM_WORKERS];
    unsigned nworkers;
    struct wf_loop loop;
    unsigned dir; /* of its checkpoint */
    volatile sig_atomic_t stop;
    enum sim_exit exit;
    struct wf_err err;
    uint64_t start_us; /* when it is started (again) */
    bool refused;      /* stays down: a person has to look */
    /* thrown away with the process, as all its memory */
    struct wf_delivery *delivery;
    uint64_t safe_lsn; /* the furthest of this life */
    char *arena;
    size_t used;
    uint64_t allocations, fail_at;
};

/* ---- the world of one schedule ---- */

struct sim_weather { /* one in n; 0 = never */
    unsigned lose_request, lose_reply, late_copy, silent_retry, fail_batch, fail_read, short_read;
    unsigned disk, again, full;
    uint32_t disk_us, turn_us; /* no chances: the longest a call of the disk takes, and a thread
                                * waits for its turn */
};

struct sim {
    uint64_t seed, rng, now_us, steps;
    bool eos, verbose, healed, oom;
    bool ends;     /* COMMIT has an event */
    bool old_slot; /* the server moves a slot back when told so */
    unsigned slow; /* kafka's delays are that many times longer */
    struct sim_weather weather;
    struct sim_daemon daemon[SIM_DAEMONS];
    unsigned ndaemons;
    bool vandal; /* somebody else moved the slot */
    char bad[256];
};

extern struct sim sim;
extern struct sim_co *sim_current; /* NULL: the world itself */

/* ---- sim_core.c ---- */

uint64_t sim_random(void);
uint32_t sim_below(uint32_t n);
bool sim_one_in(unsigned n);
uint64_t sim_delay(uint64_t most_us); /* small ones more often */
void sim_yield(uint64_t after_us);
void sim_wake(struct sim_daemon *d);
void sim_start(struct sim_daemon *d, void (*fn)(void *arg));
void sim_end_process(struct sim_daemon *d);
void sim_resume(struct sim_co *co);
void sim_bad(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sim_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline struct sim_daemon *sim_self(void)
{
    return sim_current ? sim_current->daemon : NULL;
}

/* ---- sim_disk.c ---- */

void sim_disk_reset(void);
void sim_disk_killed(struct sim_daemon *d);
void sim_disk_power_loss(unsigned dir);
uint64_t sim_disk_durable_lsn(unsigned dir);

/* ---- sim_pg.c ---- */

struct sim_item { /* of the WAL, in the order of commit */
    bool alone;   /* a message outside transactions */
    uint64_t first_lsn, final_lsn, end_lsn, at_us;
    uint32_t changes;
    uint32_t events[SIM_CHANGES + 1]; /* of each change; the last is COMMIT's */
    bool wanted[SIM_CHANGES];
    uint32_t first_event;
};

struct sim_pg {
    struct sim_item item[SIM_ITEMS];
    unsigned nitems;
    uint32_t nevents;
    uint64_t start_lsn;
    struct {
        bool exists;
        uint64_t confirmed, on_disk;
        int holder; /* pid, 0 = nobody */
    } slot;
    uint64_t down_until_us, sync_us;
};

extern struct sim_pg sim_pg;

void sim_pg_reset(void);
uint64_t sim_pg_wal_end(void);
uint64_t sim_pg_end_of(uint32_t event); /* of its transaction */
uint64_t sim_pg_due(void);
void sim_pg_step(void);
void sim_pg_crash(uint64_t down_us);
void sim_pg_cut(void);
void sim_pg_killed(struct sim_daemon *d);
/* When the connection of @d has something to read. */
uint64_t sim_pg_arrival(struct sim_daemon *d);
uint64_t sim_pg_last_end(void);
/* Events of everything that commits before @lsn. */
uint32_t sim_pg_events_before(uint64_t lsn);

/* ---- sim_kafka.c ---- */

void sim_kafka_reset(void);
uint64_t sim_kafka_due(void);
void sim_kafka_step(void);
void sim_kafka_killed(struct sim_daemon *d);
void sim_kafka_skip(uint32_t n);
bool sim_kafka_has_all(void);
/* Whether every event below @n is in the log. */
bool sim_kafka_has(uint32_t n);
uint64_t sim_kafka_kept_lsn(void);
uint64_t sim_kafka_appended(void);

/* ---- sim_parts.c ---- */

void sim_parts_reset(void);

#endif
