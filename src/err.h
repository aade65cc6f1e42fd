/* Errors: a class to act on, a stable code to search for, a sentence to read. */
#ifndef WF_ERR_H
#define WF_ERR_H

/* What the caller does next; the cause is in struct wf_err. */
enum wf_rc {
    WF_OK = 0,
    WF_AGAIN,  /* nothing to do yet: call again once there is input or room */
    WF_RETRY,  /* the outside failed (broker, network): same input, later */
    WF_REJECT, /* this change can never pass as it is: stop here, by policy */
    WF_FATAL,  /* going on could lose or reorder changes: stop, keep the checkpoint */
};

/* Exit codes of the program (sysexits(3) where one fits). */
enum wf_exit {
    WF_EXIT_OK = 0,
    WF_EXIT_OTHER = 1,
    WF_EXIT_USAGE = 2,
    WF_EXIT_REFUSED = 76, /* a person has to decide: slot gap, other system, lost slot */
    WF_EXIT_CONFIG = 78,
};

#define WF_ERR_TEXT_MAX 1024

struct wf_err {
    enum wf_rc rc;
    enum wf_exit exit_code;     /* what the process ends with if this error ends it */
    char code[32];              /* stable word for logs and alerts: "slot_gap" */
    char text[WF_ERR_TEXT_MAX]; /* lower case, no full stop; cut, never overrun */
};

/**
 * wf_err_set() - record the cause of a failure
 * @err:  out; may be NULL when nobody reads it
 * @rc:   class, returned unchanged so that callers can write `return wf_err_set(...)`
 * @code: stable code, at most 31 bytes of [a-z0-9_]
 * @fmt:  sentence with the cause and, after "; hint: ", the cure
 */
enum wf_rc wf_err_set(struct wf_err *err, enum wf_rc rc, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* As wf_err_set() with WF_FATAL, for a state that only a person can resolve: exit code 76. */
enum wf_rc wf_err_refuse(struct wf_err *err, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As wf_err_set() with WF_FATAL and code "config", for what the user has to write differently in
 * the configuration: exit code 78. */
enum wf_rc wf_err_config(struct wf_err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* As wf_err_set() with code "system" and ": <strerror(errno)>" at the end. */
enum wf_rc wf_err_sys(struct wf_err *err, enum wf_rc rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * wf_err_wrap() - put the caller's context in front: "<context>: <text>"
 *
 * Return: the class that is already in @err, so that `return wf_err_wrap(...)` passes it on.
 */
enum wf_rc wf_err_wrap(struct wf_err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
