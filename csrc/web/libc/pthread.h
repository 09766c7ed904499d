/* There is one thread. */
#ifndef ST_WEB_PTHREAD_H
#define ST_WEB_PTHREAD_H

#include <stddef.h>

typedef int pthread_t;
typedef int pthread_mutex_t;

static inline int pthread_mutex_init(pthread_mutex_t *m, const void *how) {
    (void)how;
    return *m = 0;
}
static inline int pthread_mutex_destroy(pthread_mutex_t *m) { return *m; }
static inline int pthread_mutex_lock(pthread_mutex_t *m) { return *m; }
static inline int pthread_mutex_unlock(pthread_mutex_t *m) { return *m; }
static inline int pthread_create(pthread_t *t, const void *how, void *(*run)(void *), void *data) {
    (void)t, (void)how, (void)run, (void)data;
    return -1;
}
static inline int pthread_join(pthread_t t, void **value) {
    (void)t, (void)value;
    return -1;
}

#endif
